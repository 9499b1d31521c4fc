"""The rules: pure functions from values to decisions.

No I/O, no clock, no logging; a business "no" is a returned `Refusal`, never an exception. Only the
standard library and `milepost.errors` may be imported here (an import contract holds that).
"""
