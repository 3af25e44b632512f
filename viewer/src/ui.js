// Buttons, slider, read-outs and messages. The elements themselves are in static/viewer.html.
const element = (id) => document.getElementById(id);

export function showMessage(text, isError = false) {
  const box = element("message");
  box.textContent = text;
  box.classList.toggle("error", isError);
  box.hidden = !text;
}

export class Interface {
  constructor({ stage, controls, player, count, resetToPhoto }) {
    Object.assign(this, { stage, controls, player, count, resetToPhoto });
    element("reset").onclick = resetToPhoto;
    element("mode").onclick = () => this.setMode(controls.mode === "orbit" ? "fly" : "orbit");
    element("help-button").onclick = () => this.toggleHelp();
    element("help").onclick = () => this.toggleHelp(false);
    element("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : document.body.requestFullscreen());
    element("full").hidden = !document.fullscreenEnabled;
    element("play").onclick = () => player.toggle();
    const scrub = element("scrub");
    scrub.max = player.last;
    scrub.oninput = () => {
      player.pause();
      controls.reset();
      player.seek(Number(scrub.value));
    };
    for (const id of ["play", "scrub", "frame"]) element(id).hidden = player.last === 0;
    controls.onUse = () => player.pause();
    controls.onSpeed = (speed) => this.toast(`speed ${speed.toPrecision(2)} / s`);
    player.onChange = () => this.showPath();
    window.addEventListener("keydown", (event) => this.key(event));
    this.drawn = [];
    this.showPath();
    this.showRate();
    setInterval(() => this.showRate(), 500);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const onButton = event.target instanceof HTMLButtonElement;
    if (event.code === "Space" && !onButton) this.player.toggle();
    else if (event.code === "KeyR") this.resetToPhoto();
    else if (event.code === "KeyF") this.setMode(this.controls.mode === "orbit" ? "fly" : "orbit");
    else if (event.code === "KeyH" || event.key === "?") this.toggleHelp();
    else if (event.code === "KeyB") this.stage.toggleSurroundings();
    else if (event.code === "KeyU") document.body.classList.toggle("bare");
    else if (event.code === "Escape") this.toggleHelp(false);
    else return;
    event.preventDefault();
  }

  setMode(mode) {
    this.controls.mode = mode;
    element("mode").textContent = mode === "orbit" ? "Orbit" : "Fly";
    this.toast(mode === "orbit" ? "Orbit: drag turns around the scene" : "Fly: drag looks around, W A S D moves, wheel sets the speed");
  }

  toggleHelp(show = element("help").hidden) {
    element("help").hidden = !show;
  }

  toast(text) {
    const box = element("toast");
    box.textContent = text;
    box.classList.add("shown");
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => box.classList.remove("shown"), 1800);
  }

  showPath() {
    const { player } = this;
    element("play").textContent = player.playing ? "❚❚" : "▶";
    element("play").setAttribute("aria-label", player.playing ? "Pause the camera path" : "Play the camera path");
    element("scrub").value = player.time;
    element("frame").textContent = `${Math.round(player.time)} / ${player.last}`;
  }

  countFrame() {
    this.drawn.push(performance.now());
  }

  showRate() {
    const now = performance.now();
    this.drawn = this.drawn.filter((time) => now - time < 1000);
    const rate = this.drawn.length ? `${this.drawn.length} fps` : "still";
    element("rate").textContent = `${rate} · ${this.count.toLocaleString("en")} Gaussians`;
  }
}
