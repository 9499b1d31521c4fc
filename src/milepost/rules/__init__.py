"""The rules: pure functions from values to decisions.

No I/O, no clock, no logging; a business "no" is a returned `Refusal`, never an exception. Only the
standard library and `milepost.errors` may be imported here (an import contract holds that).
"""

import decimal

# Sums stay exact: an amount has up to 15 digits before and 20 after the point, and Python's default of
# 28 digits would round them. For this thread's tasks, and for threads yet to come.
decimal.DefaultContext.prec = 60
decimal.setcontext(decimal.Context(prec=60))
