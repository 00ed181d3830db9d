"""The gallery's HTTP routes: own pictures, public ones, and the assets themselves."""
