"""interim"""
import numpy as np
def _d(names):
    return np.dtype({"names":["ts_event","ts_init","sequence","instrument","kind","side","flags",*names],
      "formats":["<i8","<i8","<u8","<u4","u1","u1","<u2",*["<f8"]*len(names)], "offsets":[0,8,16,24,28,29,30,*[32+8*i for i in range(4)][:len(names)]], "itemsize":64})
TICK_DTYPE=_d(["v0","v1","v2","v3"]); QUOTE_DTYPE=_d(["bid","ask","bid_size","ask_size"]); TRADE_DTYPE=_d(["price","spare","size","spare2"])
