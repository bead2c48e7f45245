"""Light: log and film curves, primaries, colour spaces; the one place for colour maths (spec 03 §9, §14, spec 08 §2).

Pictures are ``(..., 3)`` RGB. Linear light is unbounded above, 1 is the white of a screen; code values are in [0, 1].
"""
