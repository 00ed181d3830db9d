"""The five services. They meet only through events; none imports another."""
