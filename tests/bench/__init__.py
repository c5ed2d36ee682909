"""Side by side with what people use today: `make bench` and `make bench-full`. No part of the tests."""
