"""Real kills, real stops, real races: processes of the shipped program on real repositories."""
