"""What tabs are made of: the player, zoomable pictures, reports, exports."""
