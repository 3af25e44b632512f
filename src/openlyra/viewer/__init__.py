"""What people look at: the self-contained page of a scene and the contact sheet of a run."""
