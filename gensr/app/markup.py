"""Pieces of HTML that the page shows: progress, the slider over two pictures, answers side by side, the report.

Everything that came from a user or a file is escaped. Pictures and files are addresses below ``/results/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from gensr.app.crew import Job
from gensr.app.orders import AGREEMENT, FOUND, INPUT, LANCZOS, MEAN, STD
from gensr.app.sessions import ANSWER, SHOWN, Session

LEFT = (INPUT, LANCZOS)
OVERLAYS = (STD, AGREEMENT)
LEGEND = {
    STD: "Deviation of the mean: black is sure, yellow is not.",
    AGREEMENT: "Inked: answers agree about less than half of the detail here; what shows there is invented.",
}
CSS = """
.gensr-stage {position: relative; width: 100%; max-width: 1024px; line-height: 0; --cut: 50%; user-select: none}
.gensr-stage img {width: 100%; image-rendering: pixelated; display: block}
.gensr-stage .over {position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--cut)) 0 0)}
.gensr-stage .line {position: absolute; top: 0; bottom: 0; left: var(--cut); width: 2px; background: #fff;
  box-shadow: 0 0 2px #000; pointer-events: none}
.gensr-stage .name {position: absolute; bottom: 6px; line-height: 1.3; padding: 1px 6px; background: #000a; color: #fff;
  font-size: 13px; border-radius: 3px; pointer-events: none}
.gensr-faces {cursor: crosshair; touch-action: none}
.gensr-faces img {pointer-events: none}
.gensr-faces .box {position: absolute; border: 2px solid #777; pointer-events: none; line-height: 1.2; font-size: 13px}
.gensr-faces .box.chosen {border-color: #ffd000}
.gensr-faces .box.drawn {border: 2px dashed #00d0ff}
.gensr-faces .box b {background: #000a; color: #fff; padding: 0 4px}
.gensr-cut {width: 100%; max-width: 1024px; margin: 6px 0}
.gensr-sheet {display: flex; flex-wrap: wrap; gap: 8px}
.gensr-sheet figure {margin: 0; width: 160px}
.gensr-sheet img {width: 160px; image-rendering: pixelated; display: block}
.gensr-sheet figcaption {font-size: 12px; line-height: 1.3}
.gensr-bar progress {width: 100%; height: 14px}
.gensr-error {color: #b00020; font-weight: 600}
.gensr-words li {margin: 2px 0}
pre.gensr-facts {white-space: pre-wrap; font-size: 12px; line-height: 1.35; max-height: 20em; overflow: auto}
footer {display: none !important}
"""


def line(text: str, wrong: bool = False) -> str:
    """One line, in red where something failed."""
    return f'<p class="{"gensr-error" if wrong else "gensr-line"}" role="status">{escape(text)}</p>'


def facts(text: str) -> str:
    """What was understood, as the command prints it."""
    return f'<pre class="gensr-facts">{escape(text)}</pre>' if text else ""


def progress(job: Job, seconds: float) -> str:
    """How far an order is."""
    if job.waiting:
        return line("waiting for a place: others are being answered")
    at = job.last("progress")
    name = "cancelling: the tile that is being computed ends first" if job.stopping else "looking and deciding"
    if at is None:
        return f'<div class="gensr-bar"><progress></progress>{line(f"{name}, {seconds:.0f} s")}</div>'
    share = at["done"] / max(at["total"], 1)
    said = name if job.stopping else f"{100 * share:.0f} % of {at['total']:,} values"
    return f'<div class="gensr-bar"><progress value="{share:.4f}"></progress>{line(f"{said}, {seconds:.0f} s")}</div>'


def picture(session: Session, name: str) -> str:
    """Address of a picture; a new answer has new addresses, so that no browser shows an old one."""
    return f"/results/{quote(session.token)}/{SHOWN}/{quote(name)}.png?v={session.version}"


def compare(session: Session, left: str, right: str) -> str:
    """Two pictures over each other with a slider between them; one of them where the other is not there."""
    there = [name for name in (left, right) if name in session.pictures]
    if not there:
        return ""
    if len(there) == 1 or left == right:
        only = there[0]
        one = f'<img src="{picture(session, only)}" alt="{escape(only)}">'
        return f'<div class="gensr-stage">{one}{_tag(only, "left")}</div>'
    move = "this.previousElementSibling.style.setProperty('--cut', this.value + '%')"
    legend = LEGEND.get(right, "")
    return (
        f'<div class="gensr-stage"><img src="{picture(session, right)}" alt="{escape(right)}">'
        f'<img class="over" src="{picture(session, left)}" alt="{escape(left)}"><div class="line"></div>'
        f"{_tag(left, 'left')}{_tag(right, 'right')}</div>"
        f'<input class="gensr-cut" type="range" min="0" max="100" value="50" aria-label="compare" oninput="{move}">'
        f"{line(legend) if legend else ''}"
    )


DRAW = """const s=this,r=s.getBoundingClientRect(),[w,h]=s.dataset.size.split(' ').map(Number),
at=e=>[[e.clientX-r.left,r.width,w],[e.clientY-r.top,r.height,h]].map(([v,n,m])=>Math.min(1,Math.max(0,v/n))*m),
a=at(event),d=s.appendChild(document.createElement('div'));
d.className='box drawn';s.setPointerCapture(event.pointerId);let b=[0,0,0,0];
s.onpointermove=e=>{const c=at(e);b=[0,1].map(k=>Math.min(a[k],c[k])).concat([0,1].map(k=>Math.abs(a[k]-c[k])))
.map(Math.round);['left','top','width','height'].forEach((n,k)=>d.style[n]=100*b[k]/(k%2?h:w)+'%')};
s.onpointerup=()=>{s.onpointermove=s.onpointerup=null;if(b[2]<2||b[3]<2){d.remove();return}
const t=document.querySelector('#boxes textarea, #boxes input');t.value=(t.value.trim()?t.value+'; ':'')+b.join(',');
t.dispatchEvent(new Event('input',{bubbles:true}))}"""
"""A box drawn over the photo is added to the text of boxes, in pixels of the photo."""


def faces(session: Session, chosen: Sequence[str]) -> str:
    """The photo with a numbered box around every face, those that are chosen in yellow; more can be drawn.

    Args:
        session: of the photo.
        chosen: numbers.
    """
    rows, cols = session.size
    drawn = []
    for number, x, y, width, height in session.boxes:
        low = [min(max(v, 0.0), n) for v, n in ((x, cols), (y, rows))]
        high = [min(max(v, 0.0), n) for v, n in ((x + width, cols), (y + height, rows))]
        left, top, wide, tall = (
            100 * v / n for v, n in zip((*low, high[0] - low[0], high[1] - low[1]), (cols, rows) * 2, strict=True)
        )
        place = f"left: {left:.3f}%; top: {top:.3f}%; width: {wide:.3f}%; height: {tall:.3f}%"
        kind = "box chosen" if f"{number:.0f}" in chosen else "box"
        drawn.append(f'<div class="{kind}" style="{place}"><b>{number:.0f}</b></div>')
    return (
        f'<div class="gensr-stage gensr-faces" data-size="{cols} {rows}" onpointerdown="{escape(DRAW)}">'
        f'<img src="{picture(session, FOUND)}" alt="{FOUND}" draggable="false">{"".join(drawn)}</div>'
    )


def _tag(name: str, side: str) -> str:
    generated = "" if name in LEFT else " (generated)"
    return f'<span class="name" style="{side}: 6px">{escape(name)}{generated}</span>'


def sheet(session: Session) -> str:
    """All answers beside each other, each with what is said of it."""
    answers = [name for name in session.pictures if name.startswith("answer ")]
    if not answers:
        return ""
    said = dict(zip(answers, session.answers, strict=False))
    figures = "".join(
        f'<figure><img src="{picture(session, name)}" alt="{escape(name)}"><figcaption>{escape(name)}'
        f"{': ' + escape(said[name]) if name in said else ''}</figcaption></figure>"
        for name in answers
    )
    return f'<div class="gensr-sheet">{figures}</div>'


def report(sentences: Sequence[str], failure: str = "") -> str:
    """The report in words."""
    items = "".join(f"<li>{escape(text)}</li>" for text in sentences)
    return f'{line(failure, wrong=True) if failure else ""}<ul class="gensr-words">{items}</ul>'


def downloads(session: Session) -> str:
    """Links to all outputs; the first is the answer in the format of the input."""
    if not session.files:
        return ""
    links = "".join(
        f'<li><a class="gensr-download" download href="/results/{quote(session.token)}/{ANSWER}/{quote(name)}'
        f'?v={session.version}">{escape(name)}</a> ({path.stat().st_size / 1e6:.2f} MB)</li>'
        for name, path in session.files.items()
        if path.is_file()
    )
    return f'<ul class="gensr-words">{links}</ul>'


def rights(session: Session) -> list[str]:
    """What may be shown right of the slider, the mean first."""
    names = session.pictures
    return [n for n in (MEAN, *(n for n in names if n.startswith("answer ")), *OVERLAYS, LANCZOS) if n in names]
