"""Pictures: a Matplotlib figure without a screen, in fonts that have its characters."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

# Of those with Chinese characters, by how well they read at a small size.
CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)


def new_figure(width, height):
    """An empty figure of so many inches, which `save_figure` writes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, path, *, dpi=120):
    """Writes a figure as PNG.

    Where it has Chinese characters, they are drawn in a font of the machine that has
    them. Where there is none, a warning says so, and they are drawn as boxes.
    """
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    texts = [t for t in figure.findobj(Text) if any(map(_is_wide, t.get_text()))]
    if texts:
        installed = {font.name for font in fontManager.ttflist}
        found = [name for name in CHINESE_FONTS if name in installed]
        if not found:
            logger.warning(
                "%s: no font for Chinese characters was found, so they are drawn as "
                "boxes. Install one (on Debian: fonts-noto-cjk), and remove the folder "
                "that `matplotlib.get_cachedir()` names.",
                path,
            )
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), *found[:1]])
    path = Path(path)
    beside = path.with_name(f".{path.name}.part")
    figure.savefig(beside, dpi=dpi, format="png")
    os.replace(beside, path)


def _is_wide(character):
    """Whether a character is Chinese, Japanese or Korean, or their punctuation."""
    return "\u2e80" <= character <= "\ud7ff" or "\uf900" <= character <= "\uffef"
