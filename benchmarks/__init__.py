"""Measurements. Each prints its figure beside a rival's and a limit's of the same run, as ratios."""
