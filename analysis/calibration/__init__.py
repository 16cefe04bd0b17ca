"""Which penalty gives which compression: ``rewa calibrate``."""
