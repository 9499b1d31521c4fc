"""What a user would write instead, to measure against."""
