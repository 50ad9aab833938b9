"""Controls, and a picture that follows them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from ..support.checks import optional
from .frames import Frame

Values: TypeAlias = Mapping[str, Any]
"""The controls of a panel by name, and what they are set to."""


def load_ipywidgets() -> Any:
    """The package, imported late: the library, and its command line, work without it."""
    return optional("ipywidgets", "a live widget", "course")


class Panel:
    """Controls, and a picture that follows them.

    Args:
        rows: the controls by name, a mapping per row.
        picture: makes the picture for what the controls are set to.
        silent: controls that do not redraw by themselves.

    Attributes:
        controls: the ipywidgets by name; setting a ``.value`` redraws, as moving a slider does.
        frame: the picture as it is now.
        box: everything as one ipywidget, for a layout of your own.
    """

    frame: Frame

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        picture: Callable[[Values], Frame],
        silent: Collection[str] = (),
    ) -> None:
        ipy = load_ipywidgets()
        self.controls = {name: control for row in rows for name, control in row.items()}
        self._picture = picture
        self._held = False
        self._view = ipy.HTML()  # not an ipywidgets.Image, which has no alternative text
        wrap = ipy.Layout(flex_flow="row wrap")
        lines = [ipy.HBox(list(row.values()), layout=wrap) for row in rows]
        self.box = ipy.VBox([*lines, self._view])
        for name in self.values:
            if name not in silent:
                self.controls[name].observe(lambda change: self._redraw(), names="value")
        self._redraw()

    @property
    def values(self) -> dict[str, Any]:
        """What the controls are set to; buttons have no value."""
        return {name: c.value for name, c in self.controls.items() if c.has_trait("value")}

    def set(self, **values: Any) -> None:
        """Set several controls and redraw once."""
        self._held = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._held = False
        self._redraw()

    def _redraw(self) -> None:
        if not self._held:
            self.frame = self._picture(self.values)
            self._view.value = self.frame.html()

    def __repr__(self) -> str:
        return f"{self.frame.alt_text} {self.frame.readout}".strip()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The live panel for front ends that know widgets, the picture for all others."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": self._view.value,
            "text/plain": repr(self),
        }
