"""The page in Gradio: what a visitor sees and says; everything is computed elsewhere.

What arrives here is checked again where it acts (`gensr.app.orders.requested`, `gensr.app.spoil.Spoil`): the page is
one of many programs that can talk to the server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from gensr.app import markup
from gensr.app.orders import FOUND, INPUT, LANCZOS, LONGEST_CHOICE, MEAN, MOST_SAMPLES
from gensr.app.sessions import ANSWER, SHOWN, Session, Sessions
from gensr.app.spoil import KINDS, MOST, MOST_NOISE
from gensr.app.words import IDENTITY
from gensr.cli.keys import KEYS, domain_names
from gensr.errors import GensrError

FACTORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)
BLUR = "Blur or instrument, such as motion:12,30, defocus:2.5 or gaussian:0.8; empty: pixels alone"
BOXES = "Boxes instead, x,y,width,height in pixels, several with ; (draw them over the photo)"
USUAL, GUESS = "the usual one", "by content"
TICK = 0.25
"""Seconds between two looks at an order."""
TITLE = "gensr: super-resolution with its uncertainty"
HEAD = f"""# {TITLE}
Drop a photograph of a face, a GeoTIFF, a FITS or a microscopy image. Spoil it if you like, and see what can be known
of what was lost. Nothing leaves this machine; what you drop is deleted when you close the page. **Every answer is
generated detail, not a measurement.** {IDENTITY}"""
Update = dict[str, Any]
UNSAID: tuple[Any, ...] = (gr.skip(), gr.skip(), gr.skip(), gr.skip())
"""Priors, and what can be said about faces, as they are."""


class Page:
    """Handlers of the page and their layout.

    Args:
        sessions: of all visitors.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def build(self) -> Any:  # noqa: ANN401
        """The layout, with everything connected."""
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
            gr.Markdown(HEAD)
            with gr.Row():
                with gr.Column(scale=1, min_width=320):
                    upload = gr.File(label="Your image", file_count="single", elem_id="upload")
                    domain = gr.Dropdown([GUESS, *domain_names()[1:]], value=GUESS, label="Read it as")
                    with gr.Accordion("Spoil it first", open=False, elem_id="spoil"):
                        kind = gr.Radio(list(KINDS), value="none", label="How", elem_id="kind")
                        amount = gr.Slider(
                            0, 64, 4, step=0.5, label="Pixels (width, block or length)", elem_id="amount"
                        )
                        angle = gr.Slider(-90, 90, 0, step=1, label="Angle of the motion, degrees")
                        grain = gr.Slider(0, MOST_NOISE, 1, step=0.5, label="Noise that is added then, % of the range")
                        told = gr.Checkbox(True, label="Tell the answer what was done")
                    with gr.Accordion("Faces", open=True, visible=False, elem_id="faces") as panel:
                        finder = gr.Button("Find faces", elem_id="find")
                        which = gr.CheckboxGroup([], label="Restore these", visible=False, elem_id="which")
                        boxes = gr.Textbox("", label=BOXES, max_length=LONGEST_CHOICE, elem_id="boxes")
                        field = gr.Checkbox(False, label="A prior answers what is no face, too", elem_id="field")
                        caption = gr.Checkbox(False, label="Say below that it is generated", elem_id="caption")
                    factor = gr.Dropdown(
                        list(FACTORS), value=4, label="Factor (1 undoes a blur on the same grid)", elem_id="factor"
                    )
                    prior = gr.Dropdown([USUAL], value=USUAL, label="Prior", allow_custom_value=False)
                    samples = gr.Slider(0, MOST_SAMPLES, 4, step=1, label="Answers", elem_id="answers")
                    with gr.Accordion("More", open=False):
                        ways = list(KEYS["upsample"]["search"].choices())
                        search = gr.Dropdown(ways, value="balanced", label="Search")
                        noise = gr.Textbox(
                            "", label="Noise (auto, 0, 1%, a number); empty: the file's own", max_length=80
                        )
                        blur = gr.Textbox("", label=BLUR, max_length=80, elem_id="blur")
                        seed = gr.Number(0, precision=0, minimum=0, label="Seed")
                        tile = gr.Number(
                            None, precision=0, minimum=0, label="Tile, pixels; empty: as usual", elem_id="tile"
                        )
                    with gr.Row():
                        start = gr.Button("Answer", variant="primary", elem_id="start")
                        cancel = gr.Button("Cancel", variant="stop", elem_id="cancel")
                with gr.Column(scale=2, min_width=480):
                    status = gr.HTML(markup.line("Nothing was dropped yet."), elem_id="status")
                    with gr.Row():
                        left = gr.Radio([INPUT, LANCZOS], value=INPUT, label="Left", visible=False, elem_id="left")
                        right = gr.Radio([MEAN], value=MEAN, label="Right", visible=False, elem_id="right")
                    stage = gr.HTML("", elem_id="stage")
                    sheet = gr.HTML("", elem_id="sheet")
                    files = gr.HTML("", elem_id="files")
                    words = gr.HTML("", elem_id="words")
                    with gr.Accordion("What is understood of it, and what will be done", open=False):
                        facts = gr.HTML("", elem_id="facts")
            view: list[Any] = [status, left, right, stage, sheet, files, words, facts]
            asked: list[Any] = [kind, amount, angle, grain, told, factor, prior, samples]
            asked += [search, noise, blur, seed, tile]
            chosen: list[Any] = [which, boxes]
            own: list[Any] = [prior, panel, *chosen]
            upload.upload(self.receive, [upload, domain], [*view, *own, upload], concurrency_limit=None, **private)
            domain.input(self.reread, [domain], [*view, *own], concurrency_limit=None, **private)
            finder.click(self.find, None, [*view, *chosen], concurrency_limit=None, trigger_mode="multiple", **private)
            which.input(self.tick, [which], [status, stage], queue=False, **private)
            start.click(
                self.answer,
                [*asked, *chosen, field, caption],
                view,
                concurrency_limit=None,
                trigger_mode="multiple",
                **private,
            )
            cancel.click(self.cancel, None, [status], queue=False, **private)
            for choice in (left, right):
                choice.input(self.turn, [left, right], [stage], queue=False, **private)
            kind.input(self.limit, [kind], [amount, factor], queue=False, **private)
            blocks.unload(self.leave)
        return blocks

    async def receive(self, upload: str | None, domain: str, request: gr.Request) -> AsyncIterator[list[Any]]:
        """Take an upload over, and tell what it is."""
        try:
            session = self.sessions.of(request.session_hash)
            if upload is None:
                raise GensrError("nothing was uploaded")
            if session.busy:
                raise GensrError("an answer is being computed; cancel it first")
            path = Path(upload).resolve()
            if not path.is_relative_to(self.sessions.inbox.resolve()):
                raise GensrError("that is no upload of this page")
            session.take(path)
        except (GensrError, OSError) as error:
            text = str(error) if isinstance(error, GensrError) else "the upload was lost; drop it again"
            yield [*self._shown(None, markup.line(text, wrong=True)), *UNSAID, None]
            return
        async for shown in self._look(session, domain):
            yield [*shown, None]

    async def reread(self, domain: str, request: gr.Request) -> AsyncIterator[list[Any]]:
        """Read the same upload as something else."""
        session = self.sessions.of(request.session_hash)
        if session.path is None or session.busy:
            yield [*self._shown(session, gr.skip()), *UNSAID]
            return
        async for shown in self._look(session, domain):
            yield shown

    async def _look(self, session: Session, domain: str) -> AsyncIterator[list[Any]]:
        session.forget()
        chosen = "" if domain == GUESS else domain
        order = {"do": "look", "path": str(session.path), "domain": chosen, "shown": str(session.folder / SHOWN)}
        job = session.job = self.sessions.crew.take(order)
        while not job.over:
            yield [*self._shown(session, markup.progress(job, time.monotonic() - job.started)), *UNSAID]
            await asyncio.sleep(TICK)
        seen = job.last("seen")
        if seen is None:
            text = self._public(session, (job.last("failed") or {"text": "cancelled"})["text"])
            session.path = None
            yield [*self._shown(session, markup.line(text, wrong=True)), *UNSAID]
            return
        session.domain, session.size = seen["domain"], tuple(seen["size"])
        session.pictures, session.boxes = [INPUT], []
        rows, cols = session.size
        status = markup.line(
            f"{Path(str(session.path)).name}: {session.domain}, {cols} x {rows} pixels. Ask for an answer."
        )
        priors = gr.update(choices=[USUAL, *seen["priors"]], value=USUAL)
        own = [priors, gr.update(visible=seen["choice"]), gr.update(choices=[], value=[], visible=False), ""]
        yield [*self._shown(session, status, facts=markup.facts(seen["words"])), *own]

    async def find(self, request: gr.Request) -> AsyncIterator[list[Any]]:
        """Find the faces of a photo and show them, numbered."""
        session = self.sessions.of(request.session_hash)
        if (refusal := self._refusal(session)) is not None:
            yield [*refusal, gr.skip(), gr.skip()]
            return
        session.forget()
        order = {"do": "find", "path": str(session.path), "domain": session.domain}
        job = session.job = self.sessions.crew.take({**order, "shown": str(session.folder / SHOWN)})
        while not job.over:
            shown = self._shown(session, markup.progress(job, time.monotonic() - job.started), facts=gr.skip())
            yield [*shown, gr.skip(), gr.skip()]
            await asyncio.sleep(TICK)
        found = job.last("found")
        if found is None:
            yield [*self._ended(session), gr.skip(), gr.skip()]
            return
        session.boxes, session.pictures = [tuple(box) for box in found["boxes"]], [FOUND]
        numbers = [f"{box[0]}" for box in session.boxes]
        count = f"{len(numbers)} face{'s' if len(numbers) > 1 else ''} found" if numbers else "No face is found"
        shown = self._shown(session, markup.line(f"{count}; draw a box where one is missing."), facts=gr.skip())
        shown[3] = markup.faces(session, numbers)
        yield [*shown, gr.update(choices=numbers, value=numbers, visible=bool(numbers)), ""]

    def tick(self, which: list[str], request: gr.Request) -> list[Any]:
        """Show which faces are chosen, as long as they are shown."""
        session = self.sessions.of(request.session_hash)
        if session.pictures != [FOUND]:
            return [gr.skip(), gr.skip()]
        count = f"{len(which)} of {len(session.boxes)} faces ticked" if which else "No face is ticked"
        return [markup.line(f"{count}."), markup.faces(session, which)]

    async def answer(
        self,
        kind: str,
        amount: float,
        angle: float,
        grain: float,
        told: bool,
        factor: int,
        prior: str,
        samples: int,
        search: str,
        noise: str,
        blur: str,
        seed: int,
        tile: int | None,
        which: list[str],
        boxes: str,
        field: bool,
        caption: bool,
        request: gr.Request,
    ) -> AsyncIterator[list[Any]]:
        """Order an answer and show how far it is until it is there."""
        session = self.sessions.of(request.session_hash)
        if (refusal := self._refusal(session)) is not None:
            yield refusal
            return
        if session.boxes and not which and not boxes.strip():
            yield [markup.line("No face is ticked; tick one, or draw a box.", wrong=True), *[gr.skip()] * 7]
            return
        some = ",".join(map(str, which)) if len(which) < len(session.boxes) else None
        session.forget()
        job = session.job = self.sessions.crew.take(
            {
                "do": "answer",
                "path": str(session.path),
                "domain": session.domain,
                "output": str(session.folder / ANSWER),
                "shown": str(session.folder / SHOWN),
                "face": boxes.strip() or some,
                "field": field and session.domain == "faces",
                "caption": caption and session.domain == "faces",
                "spoil": {"kind": kind, "amount": amount, "angle": angle, "noise": grain, "told": told},
                "asked": {
                    "factor": factor,
                    "generator": None if prior == USUAL else prior,
                    "samples": samples,
                    "search": search,
                    "noise": noise or None,
                    "operator": blur or None,
                    "seed": seed or 0,
                    "tile": tile or None,
                },
            }
        )
        while not job.over:
            session.used = time.monotonic()
            plan = job.last("settled")
            facts = gr.skip() if plan is None else markup.facts(plan["words"])
            yield self._shown(session, markup.progress(job, time.monotonic() - job.started), facts=facts)
            await asyncio.sleep(TICK)
        yield self._finished(session)

    def _finished(self, session: Session) -> list[Any]:
        job = session.job
        done = None if job is None else job.last("done")
        if job is None or done is None:
            return self._ended(session)
        session.pictures, session.answers = done["pictures"], done["answers"]
        session.files = {Path(name).name: Path(name) for name in done["files"]}
        part = " The middle of it is shown." if done["part"] else ""
        status = markup.line(f"Answered in {time.monotonic() - job.started:.1f} s.{part}")
        rights = markup.rights(session)
        shown = self._shown(session, status, words=markup.report(done["words"], done["failure"]))
        shown[1] = gr.update(visible=True, value=INPUT)
        shown[2] = gr.update(visible=bool(rights), choices=rights, value=rights[0] if rights else None)
        return shown

    def _ended(self, session: Session) -> list[Any]:
        """What is shown of an order that came to nothing."""
        failed = None if session.job is None else session.job.last("failed")
        text = "Cancelled; nothing is kept." if failed is None else self._public(session, failed["text"])
        return self._shown(session, markup.line(text, wrong=failed is not None))

    def _refusal(self, session: Session) -> list[Any] | None:
        """Why nothing can be ordered now, as all outputs; None where it can."""
        if session.path is None:
            return self._shown(session, markup.line("Drop an image first.", wrong=True))
        if session.busy:
            return self._shown(session, markup.line("Another order is being carried out; cancel it first.", wrong=True))
        return None

    def _shown(self, session: Session | None, status: Any, words: Any = "", facts: Any = "") -> list[Any]:  # noqa: ANN401
        """All outputs: those of an answer where there is one, else the input alone."""
        if session is None:
            return [status, *[gr.skip()] * 7]
        hidden = gr.update(visible=False)
        rights = markup.rights(session)
        stage = markup.compare(session, INPUT, rights[0] if rights else INPUT)
        return [status, hidden, hidden, stage, markup.sheet(session), markup.downloads(session), words, facts]

    def cancel(self, request: gr.Request) -> Any:  # noqa: ANN401
        """Cancel what is computed for this visitor."""
        session = self.sessions.of(request.session_hash)
        if not session.busy:
            return markup.line("Nothing is being computed.")
        session.cancel()
        return gr.skip()

    def turn(self, left: str, right: str, request: gr.Request) -> str:
        """Show other pictures."""
        return markup.compare(self.sessions.of(request.session_hash), str(left), str(right))

    def limit(self, kind: str) -> tuple[Any, Any]:
        """Set the slider to what the kind takes; blocks are undone by their own factor."""
        top = MOST.get(kind, 0.0)
        step = 1 if kind == "pixelate" else 0.5
        start = {"blur": 1.5, "pixelate": 8, "motion": 9}.get(kind, 4)
        factor = gr.update(value=8) if kind == "pixelate" else gr.skip()
        return gr.update(minimum=0, maximum=top or 64, step=step, value=start), factor

    def leave(self, request: gr.Request) -> None:
        """Forget a visitor."""
        self.sessions.end(request.session_hash)

    def _public(self, session: Session, text: str) -> str:
        """A message without the folders of the server."""
        for folder in (session.folder / "upload", session.folder):
            text = text.replace(f"{folder}/", "")
        return text
