"""Reads scatters and everything with a colour scale: heat maps, images, hexagons, contours, arrows; and 3-D."""

# ruff: noqa: SLF001 - private names of the libraries it reads
from __future__ import annotations

from typing import TYPE_CHECKING

from ..importing import np
from .hooks import Tag, tag_of
from .series import Found, Raw, filled, first_color, hex_color, in_data, label_of

if TYPE_CHECKING:
    from ..foreign import Array, Artist, Axes, Call, Collection, Extra


def read(found: Found) -> None:
    """Adds what the hooks know of collections, then what their class tells, and images."""
    if found.ax.name == "3d":
        _space(found)
        return
    for collection in found.left(found.ax.collections):
        note = tag_of(collection)
        reader = _TAGGED.get(note.kind) or _BY_CLASS.get(type(collection).__name__)
        if reader is not None:
            reader(found, collection, note.data)
    for image in list(found.ax.images):
        _image(found, image)


def leftovers(found: Found) -> None:
    """Names what no reader knew, so that nobody takes the panel for complete."""
    for artist in found.left([*found.ax.collections, *found.ax.patches, *found.ax.tables]):
        if artist.get_visible() and _shows(artist, found.ax):
            found.lack(f"a {type(artist).__name__} is not read")


def _shows(artist: Artist, ax: Axes) -> bool:
    """Says whether an artist is at places on the data's axes; a table shows data anywhere, words in a corner none."""
    if type(artist).__name__ == "Table":
        return True
    if type(artist).__name__ == "ConnectionPatch":
        return False  # joins two panels, as from a slice to its bar
    return bool(in_data(artist, ax) or in_data_offsets(artist, ax))


def in_data_offsets(artist: Artist, ax: Axes) -> bool:
    """Says whether a collection has copies of one shape at places on the data's axes."""
    transform = artist.get_offset_transform() if hasattr(artist, "get_offset_transform") else None
    return transform is not None and transform.contains_branch(ax.transData) and len(artist.get_offsets()) > 0


def _scatter(found: Found, collection: Collection, data: Call) -> None:
    """Adds points with the numbers behind their colours and sizes."""
    if not in_data_offsets(collection, found.ax):
        return
    offsets, name = filled(collection.get_offsets()), label_of(collection)
    if len(offsets) == 0 and name is None:
        found.take([collection])
        return
    raw = Raw("scatter", name, offsets[:, 0], offsets[:, 1], discrete="xy", artists=[collection])
    sizes = np.asarray(collection.get_sizes(), float)
    _colored(found, raw, collection)
    if len(sizes) == len(offsets) > 1:
        raw.extra["size"] = ("n", sizes)
    faces = collection.get_facecolors() if len(collection.get_facecolors()) else collection.get_edgecolors()
    raw.color = hex_color(first_color(faces))
    if "color" not in raw.extra and len(faces) == len(offsets) > 1:
        raw.flags["point_colors"] = faces
    found.add(raw)


def _colored(found: Found, raw: Raw, collection: Collection) -> None:
    """Adds the numbers behind the colours of points or arrows, when there is one for each."""
    colors = collection.get_array()
    if np.size(colors) == np.size(raw.x) and colors is not None:
        raw.extra["color"] = ("n", filled(colors))
        found.mappables.append(collection)


def _mesh(found: Found, mesh: Collection, data: Call) -> None:
    """Adds the cells of `pcolormesh` or `pcolor` with the numbers behind their colours."""
    z = mesh.get_array()
    if z is None or (z.ndim > 2 and z.shape[-1] in (3, 4)):
        found.lack("colours without numbers behind them")
        return
    corners = np.asarray(mesh.get_coordinates() if hasattr(mesh, "get_coordinates") else mesh._coordinates)
    rows, columns = corners.shape[:2]
    gouraud = z.size == rows * columns  # a value at each corner; otherwise one in each cell
    z = filled(z).reshape((rows, columns) if gouraud else (rows - 1, columns - 1))
    raw = Raw("heatmap", None, *_places(found, mesh, corners, gouraud=gouraud), discrete="xy", artists=[mesh])
    raw.extra = {"z": ("n", z)}
    # Only seaborn's hook knows these labels; the tag of a plain mesh has others.
    raw.flags = {key: data.get(key) for key in ("x_labels", "y_labels")}
    found.mappables.append(mesh)
    found.add(raw)


def _places(found: Found, mesh: Collection, corners: Array, *, gouraud: bool) -> tuple[Array, Array]:
    """Returns the places of the columns and rows of a mesh: as they were given, or from the cells' corners."""
    note = tag_of(mesh)
    if note.kind == "mesh":
        x, y = (filled(found.convert(axis, note.data[axis])) for axis in "xy")
        return _along(x, y)
    x, y = corners[0, :, 0], corners[:, 0, 1]
    return (x, y) if gouraud else ((x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2)


def _along(x: Array, y: Array) -> tuple[Array, Array]:
    """Returns the places of columns and rows, each of which may be given for every cell."""
    return (x[0] if x.ndim == 2 else x), (y[:, 0] if y.ndim == 2 else y)


def _image(found: Found, image: Artist) -> None:
    """Adds a matrix that is shown as a picture; a picture made of colours has no numbers."""
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


def _hexbin(found: Found, collection: Collection, data: Call) -> None:
    """Adds the middles of hexagons with their values."""
    offsets = filled(collection.get_offsets())
    found.mappables.append(collection)
    extra = {"value": ("n", filled(collection.get_array()))}
    found.add(Raw("hexbin", None, offsets[:, 0], offsets[:, 1], extra, artists=[collection]))


def _contour(found: Found, collection: Collection, data: Call) -> None:
    """Adds contours with the field behind them, once: lines over the same filled contours say nothing new."""
    arrays = [filled(item) for item in data.get("arrays", ())]
    levels = data.get("levels") or collection.levels
    raw = Raw("contour", extra={"levels": [float(level) for level in levels]}, artists=[collection])
    if not _add_field(raw, arrays):
        found.lack("the field behind the contours is not known")
    found.mappables.append(collection)
    same = next((one for one in found.of("contour") if _same(one.extra.get("z"), raw.extra.get("z"))), None)
    if same is not None and same.extra["levels"] == raw.extra["levels"]:
        found.take([collection])
        return
    found.add(raw)


def _add_field(raw: Raw, arrays: list[Array]) -> bool:
    """Adds what the contours are drawn from: a grid, or values at any places. False when neither is known."""
    grids = [item for item in arrays if np.ndim(item) == 2]
    if grids:
        raw.extra["z"] = ("n", grids[-1])
        raw.x, raw.y = _along(*arrays[:2]) if len(arrays) >= 3 else (np.arange(n) for n in grids[-1].shape[::-1])
    elif len(arrays) >= 3:
        raw.x, raw.y = arrays[0], arrays[1]
        raw.extra["value"] = ("n", arrays[2])
    return "z" in raw.extra or "value" in raw.extra


def _same(one: Array, two: Array) -> bool:
    """Says whether two contours have the same field behind them."""
    return bool(one and two and np.array_equal(one[1], two[1], equal_nan=True))


def _arrows(found: Found, arrows: Collection, data: Call) -> None:
    """Adds the feet and the components of arrows or wind barbs, which name their arrays in capitals or not."""
    hidden = getattr(arrows, "Umask", False)  # matplotlib holds 1 where an arrow is missing
    u, v, x, y = (getattr(arrows, name, getattr(arrows, name.lower(), ())) for name in "UVXY")
    u, v = (np.where(hidden, np.nan, filled(values)) for values in (u, v))
    raw = Raw("quiver", label_of(arrows), np.asarray(x, float), np.asarray(y, float), artists=[arrows])
    raw.extra = {"u": ("n", u), "v": ("n", v)}
    _colored(found, raw, arrows)
    found.add(raw)


def _stream(found: Found, collection: Collection, data: Call) -> None:
    """Adds the field of `streamplot` as arrows: its lines start where the method chose."""
    found.take(tag_of(collection).artists)
    u, v, x, y = (np.asarray(data[key], float) for key in ("u", "v", "x", "y"))
    if x.ndim == 1:
        x, y = np.meshgrid(x, y)
    found.mappables.append(collection)
    extra = {"u": ("n", u.ravel()), "v": ("n", v.ravel())}
    found.add(Raw("quiver", None, x.ravel(), y.ravel(), extra, artists=[collection]))


_TAGGED = {"contour": _contour, "hexbin": _hexbin, "stream": _stream}
"""What reads a collection, by the kind of its tag."""
_BY_CLASS = {
    "QuadMesh": _mesh, "PolyQuadMesh": _mesh, "PathCollection": _scatter, "CircleCollection": _scatter,
    "RegularPolyCollection": _scatter, "Quiver": _arrows, "Barbs": _arrows, "QuadContourSet": _contour,
    "TriContourSet": _contour, "ContourSet": _contour,
}  # fmt: skip
"""What reads a collection without such a tag, by the name of its class."""


def _space(found: Found) -> None:
    """Adds everything in a 3-D panel; of patches nothing is read there."""
    _lines_in_space(found)
    for collection in list(found.ax.collections):
        note = tag_of(collection)
        if note.kind in ("surface3d", "bar3d"):
            _tagged_space(found, collection, note)
        elif hasattr(collection, "_offsets3d"):
            _points_in_space(found, collection)
        elif note.kind == "contour":
            _contour(found, collection, note.data)
        elif id(collection) not in found.done:
            found.lack(f"a {type(collection).__name__} is not read")
    for patch in found.ax.patches:
        found.lack(f"a {type(patch).__name__} is not read")


def _points_in_space(found: Found, collection: Collection) -> None:
    """Adds points in space with the numbers behind their colours."""
    x, y, z = (filled(part) for part in collection._offsets3d)
    raw = Raw("scatter3d", label_of(collection), x, y, {"z": ("z", z)}, artists=[collection])
    _colored(found, raw, collection)
    found.add(raw)


def _lines_in_space(found: Found) -> None:
    """Adds lines in space, and the markers of stems."""
    stems = {id(stem.markerline): stem for stem in found.ax.containers if type(stem).__name__ == "StemContainer"}
    for stem in stems.values():
        found.take([stem.baseline, stem.stemlines])
    for line in found.left(found.ax.lines):
        found.take([line])
        if hasattr(line, "get_data_3d"):
            x, y, z = (np.asarray(part, float) for part in line.get_data_3d())
            kind, named = ("stem", stems[id(line)]) if id(line) in stems else ("line", line)
            found.add(Raw(kind, label_of(named), x, y, {"z": ("z", z)}, artists=[line]))


def _tagged_space(found: Found, collection: Collection, note: Tag) -> None:
    """Adds a surface or bars in space from the arguments of the call: the polygons are projected already."""
    data = {key: filled(value) for key, value in note.data.items()}
    x, y = data["x"], data["y"]
    if note.kind == "bar3d":
        extra: Extra = {"z": ("z", np.broadcast_to(data["dz"], x.shape))}
        found.add(Raw("bar3d", label_of(collection), x, y, extra, artists=[collection]))
        return
    z = data["z"]
    extra = {"z": ("z", z), "zmin": float(np.nanmin(z)), "zmax": float(np.nanmax(z))}
    if z.ndim == 2:
        x, y = _along(x, y)
    found.mappables.append(collection)
    found.add(Raw("surface3d", label_of(collection), x, y, extra, artists=[collection]))
