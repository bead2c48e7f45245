"""How strongly each pass pulls: CFG, perturbations, schedules of both, corrections of the prediction.

It may import `wires`.
"""
