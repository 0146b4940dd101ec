"""What figures are drawn with: grids, lines, panels, colours, numbers; how a figure is found."""
