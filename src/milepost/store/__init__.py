"""All SQL: set-based statements, keys in and plain values out. No decision, no commit.

An `ask_…` function sends its statement down the pipeline and returns a `Reply`; awaiting the reply's
`rows()` fetches. So one batch sends every load before it waits for the first. Each load names its keys
as `unnest(keys) k CROSS JOIN LATERAL (SELECT … WHERE … = k… OFFSET 0)`: `OFFSET 0` keeps the planner
from turning it into a join whose order depends on statistics (house law 3).
"""
