"""Examples that run; ``config/base`` names ``examples.ema_cross:EmaCross``."""
