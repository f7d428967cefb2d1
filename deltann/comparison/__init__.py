"""Comparing stored outputs: pure functions of arrays that run nothing, so that a verdict can be taken anew offline."""
