"""Place-recognition methods behind one interface (see ``methods.base``)."""

METHODS = {
    "vxp": "methods.vxp:Vxp",
    "cattaneo": "methods.cattaneo:Cattaneo",
    "lc2": "methods.lc2:Lc2",
    "liploc": "methods.liploc:LipLoc",
    "modalink": "methods.modalink:ModaLink",
    "i2prec": "methods.i2prec:I2pRec",
    "dxpr": "methods.dxpr:Dxpr",
    "rangebev": "methods.rangebev:RangeBev",
    "range_plain": "methods.range_plain:RangePlain",
    "depth_layout": "methods.depth_layout:DepthLayout",
    "twin_layout": "methods.twin_layout:TwinLayout",
    "height_histogram": "methods.height_histogram:HeightHistogram",
}
"""Every method of the suite: name → ``"module:Class"``. Other packages add methods by ``crossplace.methods``."""

REGISTRARS = {
    "cmrnet": "methods.cmrnet:Cmrnet",
    "pnp": "methods.edge_pnp:EdgePnp",
    "voxel_pnp": "methods.voxel_pnp:VoxelPnp",
    "keep": "methods.pose_bounds:Keep",
    "oracle": "methods.pose_bounds:Oracle",
}
"""Every method of registration: name → ``"module:Class"``. Other packages add some by ``crossplace.registrars``."""

CONVERTERS = {"vxp-official": "methods.vxp.official:convert"}
"""Converters of the authors' weights: format → ``"module:function"``, which turns one or two files into our tensors."""
