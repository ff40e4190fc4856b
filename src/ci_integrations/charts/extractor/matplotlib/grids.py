"""Scatters and everything with a colour scale: heat maps, images, hexagons, contours, arrows; and three dimensions."""

# ruff: noqa: SLF001 - private names of the libraries it reads
from __future__ import annotations

from typing import Any

from .hooks import tag_of
from .series import Found, Raw, hex_color, in_data, label_of


def read(found: Found) -> None:  # noqa: C901 - one line per kind of artist
    if found.ax.name == "3d":
        _space(found)
        return
    for collection in list(found.ax.collections):
        if id(collection) in found.done:
            continue
        note, kind = tag_of(collection), type(collection).__name__
        if note is not None and note.kind == "contour":
            _contour(found, collection, note.data)
        elif note is not None and note.kind == "hexbin":
            _hexbin(found, collection)
        elif note is not None and note.kind == "stream":
            _stream(found, collection, note.data)
        elif kind in ("QuadMesh", "PolyQuadMesh"):
            _mesh(found, collection)
        elif kind in ("PathCollection", "CircleCollection", "RegularPolyCollection"):
            _scatter(found, collection)
        elif kind in ("Quiver", "Barbs"):
            _arrows(found, collection)
        elif kind in ("QuadContourSet", "TriContourSet", "ContourSet"):
            _contour(found, collection, {"arrays": [], "levels": [float(v) for v in collection.levels]})
    for image in list(found.ax.images):
        _image(found, image)


def leftovers(found: Found) -> None:
    """What no reader knew is named, so that nobody takes the panel for complete."""
    for artist in [*found.ax.collections, *found.ax.patches, *found.ax.tables]:
        if id(artist) not in found.done and artist.get_visible() and _shows(artist, found.ax):
            found.lack(f"a {type(artist).__name__} is not read")


def _shows(artist: Any, ax: Any) -> bool:
    """Drawn at places on the data's axes; legends and words in a corner are not. A table shows data anywhere."""
    if type(artist).__name__ == "Table":
        return True
    if type(artist).__name__ == "ConnectionPatch":
        return False  # joins two panels, as from a slice to its bar
    return bool(in_data(artist, ax) or in_data_offsets(artist, ax))


def in_data_offsets(artist: Any, ax: Any) -> bool:
    transform = artist.get_offset_transform() if hasattr(artist, "get_offset_transform") else None
    return transform is not None and transform.contains_branch(ax.transData) and len(artist.get_offsets()) > 0


def filled(array: Any) -> Any:
    import numpy as np

    return np.ma.filled(np.ma.asarray(array, float), np.nan)


def _scatter(found: Found, collection: Any) -> None:
    import numpy as np

    if not in_data_offsets(collection, found.ax):
        return
    offsets = filled(collection.get_offsets())
    extra: dict[str, Any] = {}
    colors, sizes = collection.get_array(), np.asarray(collection.get_sizes(), float)
    if colors is not None and np.size(colors) == len(offsets):
        extra["color"] = ("n", filled(colors))
        found.mappables.append(collection)
    if len(sizes) > 1 and len(sizes) == len(offsets):
        extra["size"] = ("n", sizes)
    if len(offsets) == 0 and label_of(collection) is None:
        found.take([collection])
        return
    raw = Raw("scatter", label_of(collection), offsets[:, 0], offsets[:, 1], extra, discrete="xy", artists=[collection])
    faces = collection.get_facecolors() if len(collection.get_facecolors()) else collection.get_edgecolors()
    raw.color = hex_color(faces[0]) if len(faces) else None
    if "color" not in extra and len(faces) == len(offsets) and len(offsets) > 1:
        raw.flags["point_colors"] = faces
    found.add(raw)


def _mesh(found: Found, mesh: Any) -> None:
    import numpy as np

    z = mesh.get_array()
    corners = np.asarray(mesh.get_coordinates() if hasattr(mesh, "get_coordinates") else mesh._coordinates)
    rows, columns = corners.shape[0] - 1, corners.shape[1] - 1
    if z is None or (z.ndim > 2 and z.shape[-1] in (3, 4)):
        found.lack("colours without numbers behind them")
        return
    z = filled(z)
    gouraud = z.size == corners.shape[0] * corners.shape[1]
    z = z.reshape(corners.shape[:2] if gouraud else (rows, columns))
    note = tag_of(mesh)
    if note is not None and note.kind == "mesh":
        x, y = (_axis_of(found, name, note.data[name], across=name == "y") for name in "xy")
    elif gouraud:
        x, y = corners[0, :, 0], corners[:, 0, 1]
    else:
        x, y = (corners[0, :-1, 0] + corners[0, 1:, 0]) / 2, (corners[:-1, 0, 1] + corners[1:, 0, 1]) / 2
    raw = Raw("heatmap", None, x, y, {"z": ("n", z)}, discrete="xy", artists=[mesh])
    labels = note.data if note is not None and note.kind == "heatmap" else {}
    raw.flags = {"x_labels": labels.get("x_labels"), "y_labels": labels.get("y_labels")}
    found.mappables.append(mesh)
    found.add(raw)


def _axis_of(found: Found, axis: str, values: Any, *, across: bool) -> Any:
    import numpy as np

    convert = found.ax.convert_xunits if axis == "x" else found.ax.convert_yunits
    values = filled(convert(values))
    if np.ndim(values) == 2:
        return values[:, 0] if across else values[0]
    return values


def _image(found: Found, image: Any) -> None:
    import numpy as np

    found.take([image])
    z = image.get_array()
    if z is None or z.ndim != 2:
        found.series.append(Raw("image", label_of(image), artists=[image], flags={"shape": list(np.shape(z))}))
        found.lack("a picture, not numbers")
        return
    z = filled(z)
    left, right, bottom, top = image.get_extent()
    rows, columns = z.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    ends = (bottom, top) if image.origin == "lower" else (top, bottom)
    y = ends[0] + (np.arange(rows) + 0.5) * (ends[1] - ends[0]) / rows
    found.mappables.append(image)
    found.add(Raw("heatmap", None, x, y, {"z": ("n", z)}, discrete="xy", artists=[image]))


def _hexbin(found: Found, collection: Any) -> None:
    offsets = filled(collection.get_offsets())
    found.mappables.append(collection)
    extra = {"value": ("n", filled(collection.get_array()))}
    found.add(Raw("hexbin", None, offsets[:, 0], offsets[:, 1], extra, artists=[collection]))


def _contour(found: Found, collection: Any, data: dict[str, Any]) -> None:
    import numpy as np

    arrays = [filled(item) if np.ndim(item) else item for item in data["arrays"]]
    extra: dict[str, Any] = {"levels": [float(level) for level in data["levels"]]}
    x = y = None
    grids = [item for item in arrays if np.ndim(item) == 2]
    if grids:
        z = grids[-1]
        extra["z"] = ("n", z)
        given = arrays[:2] if len(arrays) >= 3 else [np.arange(z.shape[1]), np.arange(z.shape[0])]
        x = given[0][0] if np.ndim(given[0]) == 2 else given[0]
        y = given[1][:, 0] if np.ndim(given[1]) == 2 else given[1]
    elif len(arrays) >= 3:
        x, y = arrays[0], arrays[1]
        extra["value"] = ("n", arrays[2])
    else:
        found.lack("the field behind the contours is not known")
    found.mappables.append(collection)
    same = [raw for raw in found.series if raw.kind == "contour" and _same(raw.extra.get("z"), extra.get("z"))]
    if same and same[0].extra["levels"] == extra["levels"]:
        found.take([collection])
        return
    found.add(Raw("contour", None, x, y, extra, artists=[collection]))


def _same(one: Any, two: Any) -> bool:
    import numpy as np

    return bool(one and two and np.array_equal(one[1], two[1], equal_nan=True))


def _arrows(found: Found, arrows: Any) -> None:
    import numpy as np

    u, v = (filled(getattr(arrows, name, getattr(arrows, name.lower(), ()))) for name in "UV")
    hidden = getattr(arrows, "Umask", False)  # matplotlib holds 1 where an arrow is missing
    u, v = (np.where(hidden, np.nan, values) for values in (u, v))
    x, y = (np.asarray(getattr(arrows, name, getattr(arrows, name.lower(), ())), float) for name in "XY")
    extra: dict[str, Any] = {"u": ("n", u), "v": ("n", v)}
    if arrows.get_array() is not None:
        extra["color"] = ("n", filled(arrows.get_array()))
        found.mappables.append(arrows)
    found.add(Raw("quiver", label_of(arrows), x, y, extra, artists=[arrows]))


def _stream(found: Found, collection: Any, data: dict[str, Any]) -> None:
    import numpy as np

    note = tag_of(collection)
    found.take(note.artists if note is not None else [collection])
    u, v = np.asarray(data["u"], float), np.asarray(data["v"], float)
    x, y = np.asarray(data["x"], float), np.asarray(data["y"], float)
    if x.ndim == 1:
        x, y = np.meshgrid(x, y)
    found.mappables.append(collection)
    extra = {"u": ("n", u.ravel()), "v": ("n", v.ravel())}
    found.add(Raw("quiver", None, x.ravel(), y.ravel(), extra, artists=[collection]))


def _space(found: Found) -> None:
    _lines_in_space(found)
    for collection in list(found.ax.collections):
        note = tag_of(collection)
        if note is not None and note.kind in ("surface3d", "bar3d"):
            _tagged_space(found, collection, note)
        elif hasattr(collection, "_offsets3d"):
            x, y, z = (filled(part) for part in collection._offsets3d)
            extra: dict[str, Any] = {"z": ("z", z)}
            if collection.get_array() is not None:
                extra["color"] = ("n", filled(collection.get_array()))
                found.mappables.append(collection)
            found.add(Raw("scatter3d", label_of(collection), x, y, extra, artists=[collection]))
        elif note is not None and note.kind == "contour":
            _contour(found, collection, note.data)
        elif id(collection) not in found.done:
            found.lack(f"a {type(collection).__name__} is not read")
    for patch in found.ax.patches:
        found.lack(f"a {type(patch).__name__} is not read")


def _lines_in_space(found: Found) -> None:
    import numpy as np

    stems = {id(stem.markerline): stem for stem in found.ax.containers if type(stem).__name__ == "StemContainer"}
    for stem in stems.values():
        found.take([stem.baseline, stem.stemlines])
    for line in [line for line in found.ax.lines if id(line) not in found.done]:
        found.take([line])
        if hasattr(line, "get_data_3d"):
            x, y, z = (np.asarray(part, float) for part in line.get_data_3d())
            stem = stems.get(id(line))
            kind, name = ("line", label_of(line)) if stem is None else ("stem", label_of(stem))
            found.add(Raw(kind, name, x, y, {"z": ("z", z)}, artists=[line]))


def _tagged_space(found: Found, collection: Any, note: Any) -> None:
    import numpy as np

    data = {key: filled(value) for key, value in note.data.items()}
    if note.kind == "bar3d":
        extra: dict[str, Any] = {"z": ("z", np.broadcast_to(data["dz"], data["x"].shape))}
        found.add(Raw("bar3d", label_of(collection), data["x"], data["y"], extra, artists=[collection]))
        return
    z = data["z"]
    extra = {"z": ("z", z), "zmin": float(np.nanmin(z)), "zmax": float(np.nanmax(z))}
    x, y = data["x"], data["y"]
    if z.ndim == 2:
        x, y = (x[0] if x.ndim == 2 else x), (y[:, 0] if y.ndim == 2 else y)
    found.mappables.append(collection)
    found.add(Raw("surface3d", label_of(collection), x, y, extra, artists=[collection]))
