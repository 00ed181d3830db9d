"""The one way in which adapters speak HTTP: bounded, guarded, retried where that is safe."""
