"""Colour scales and line colours for both themes.

Diverging scales run from blue (negative) over the page's ground (0) to orange (positive), and
sequential ones in one hue of rising contrast to the ground: readers with any of the common colour
blindnesses tell them apart, and in the dark theme 0 is dark. Line colours are those of Okabe and
Ito (2008), darkened or lightened until they stand at 3:1 against the ground.
"""

from typing import Any

Scale = list[list[Any]]

DIVERGING: dict[str, Scale] = {
    "light": [
        [0.0, "#123f7a"],
        [0.25, "#5b93cf"],
        [0.5, "#f4f3ef"],
        [0.75, "#e5853a"],
        [1.0, "#8a3206"],
    ],
    "dark": [
        [0.0, "#a8d1ff"],
        [0.25, "#3b7cc4"],
        [0.5, "#232c36"],
        [0.75, "#c8641f"],
        [1.0, "#ffcf9e"],
    ],
}
SEQUENTIAL: dict[str, Scale] = {
    "light": [[0.0, "#f4f3ef"], [0.35, "#a9c8e6"], [0.7, "#3f7fc0"], [1.0, "#0c2f63"]],
    "dark": [[0.0, "#232c36"], [0.35, "#214d7d"], [0.7, "#4f95dc"], [1.0, "#d3e8ff"]],
}
LINES: dict[str, list[str]] = {
    "light": ["#0072b2", "#c2410c", "#00795a", "#a3447c", "#6b6b00", "#3d4450", "#7a3fb0"],
    "dark": ["#56b4e9", "#f09a4a", "#2fc79a", "#e59bc8", "#e0d44a", "#c3c9d2", "#bd97ec"],
}
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px"]
MARKERS = ["circle", "square", "diamond", "triangle-up", "x", "cross", "star"]
"""Lines differ in dash and marker too, so that colour is never the only sign."""
