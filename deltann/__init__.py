"""deltann: will this model behave the same after I deploy it, and if not: where, why, how much, whose fault?"""
