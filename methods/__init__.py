"""Place-recognition methods behind one interface (see ``methods.base``)."""

METHODS = {
    "vxp": "methods.vxp:Vxp",
    "cattaneo": "methods.cattaneo:Cattaneo",
    "lc2": "methods.lc2:Lc2",
    "liploc": "methods.liploc:LipLoc",
    "modalink": "methods.modalink:ModaLink",
    "i2prec": "methods.i2prec:I2pRec",
    "rangebev": "methods.rangebev:RangeBev",
    "range_plain": "methods.range_plain:RangePlain",
    "height_histogram": "methods.height_histogram:HeightHistogram",
}
"""Every method of the suite: name → ``"module:Class"``. Another package adds its own by ``crossplace.methods``."""

CONVERTERS = {"vxp-official": "methods.vxp.official:convert"}
"""Format of weights that a method's authors saved → ``"module:function"`` from one or two files to our tensors."""
