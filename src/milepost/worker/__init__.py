"""Due work in real organisations: alarms at the instants at which it falls due, and a sweep as the net."""
