"""What people do in the gallery, one transaction each."""
