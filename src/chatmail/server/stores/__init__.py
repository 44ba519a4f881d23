"""The stores: where what was said is kept, behind one small interface."""
