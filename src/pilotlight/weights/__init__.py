"""Where weights live and how they get there. `cache.WeightCache` is the way in; importing it is cheap."""
