"""The controllers: each compares what is wanted with what is there, and plans the difference."""
