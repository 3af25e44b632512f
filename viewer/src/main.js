// Start of the page: reads what is embedded, builds the stage, runs the frame loop, offers window.openlyra to scripts.
import * as THREE from "three";
import { Controls } from "./controls.js";
import { PathPlayer, decodePath } from "./path.js";
import { loadScene } from "./payload.js";
import { Stage, flip } from "./stage.js";
import { Interface, showMessage } from "./ui.js";

function scriptInterface(stage, player, controls) {
  return {
    /** Pose in scene axes (x right, y down, z forward), 16 numbers row by row, and intrinsics in photo pixels. */
    getCamera() {
      const m = stage.camera.matrixWorld.clone().transpose().elements;
      const worldFromCamera = flip(m).transpose().elements.slice();
      return { worldFromCamera, ...stage.camera.intrinsics, viewport: [...stage.camera.viewport] };
    },
    setCamera({ worldFromCamera, ...intrinsics }) {
      player.pause();
      controls.reset();
      const frame = { position: new THREE.Vector3(), quaternion: new THREE.Quaternion() };
      flip(worldFromCamera).decompose(frame.position, frame.quaternion, new THREE.Vector3());
      stage.setFrame({ ...frame, intrinsics: { ...stage.camera.intrinsics, ...intrinsics } });
    },
    /** Stand at a frame of the path; fractions lie between frames. */
    setPathFrame(index) {
      player.pause();
      controls.reset();
      player.seek(index);
    },
    /** Resolves when the current view is drawn completely sorted. */
    renderOnce: () => stage.drawSorted(),
    /** Hide or show buttons and read-outs. */
    setInterface: (visible) => document.body.classList.toggle("bare", !visible),
    player,
    controls,
    stage,
  };
}

async function start() {
  const info = JSON.parse(document.getElementById("openlyra-info").textContent);
  const frames = decodePath(info.path);
  const stage = new Stage(document.getElementById("stage"), frames[0], info.count, info.surroundings);
  stage.canvas.addEventListener("webglcontextlost", () => showMessage("The graphics driver gave up; reload this page.", true));
  const mesh = await loadScene(info, showMessage);
  stage.root.add(mesh);
  const up = new THREE.Vector3(0, 1, 0).applyQuaternion(frames[0].quaternion);
  const controls = new Controls(stage, info.focus, up);
  const player = new PathPlayer(frames, info.path.fps, stage);
  const resetToPhoto = () => {
    player.pause();
    controls.reset();
    player.seek(0);
  };
  const ui = new Interface({ stage, controls, player, count: info.count, resetToPhoto });
  showMessage("Sorting…");
  await stage.drawSorted();
  showMessage("");
  runLoop(stage, controls, player, ui);
  return scriptInterface(stage, player, controls);
}

function runLoop(stage, controls, player, ui) {
  let before = performance.now();
  const frame = (now) => {
    const seconds = Math.min(Math.max(now - before, 0) / 1000, 0.25);
    before = now;
    player.advance(seconds);
    controls.advance(seconds);
    if (stage.dirty) {
      stage.draw();
      ui.countFrame();
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

function fail(error) {
  const text = error instanceof Error ? error.message : String(error);
  showMessage(text, true);
  window.openlyra.error = text;
}

window.openlyra = { isReady: false, error: null };
window.openlyra.ready = start().then(
  (methods) => {
    Object.assign(window.openlyra, methods, { isReady: true });
    return true;
  },
  (error) => {
    fail(error);
    return false;
  },
);
