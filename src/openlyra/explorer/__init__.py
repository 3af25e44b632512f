"""Looking at scenes: a page that opens from the disk, without a server or the network."""

from openlyra.explorer.viewer import export_viewer, open_viewer

__all__ = ["export_viewer", "open_viewer"]
