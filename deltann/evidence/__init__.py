"""What a comparison gathers beside the outputs, so that its verdict can be relied on: arbiter, self-noise, sabotage."""
