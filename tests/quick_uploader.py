"""The uploader with hardly any waits, so that it leaves and begins often."""

import sys

from src.tracking import uploader

if __name__ == "__main__":
    uploader.IDLE, uploader.LOOK = 0.01, 0.001
    uploader.main(*sys.argv[1:])
