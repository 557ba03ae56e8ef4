"""The live loop: inbox -> step -> effects."""
