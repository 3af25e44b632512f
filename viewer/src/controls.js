// Moving about: orbit around a point or fly. One rule for turning: yaw about the photo's up, pitch about the camera's right.
import * as THREE from "three";

const TURN = 0.0045; // radians a pixel
const MAX_ELEVATION = THREE.MathUtils.degToRad(88);
const KEYS = {
  KeyW: [0, 0, -1], ArrowUp: [0, 0, -1], KeyS: [0, 0, 1], ArrowDown: [0, 0, 1], KeyA: [-1, 0, 0], ArrowLeft: [-1, 0, 0],
  KeyD: [1, 0, 0], ArrowRight: [1, 0, 0], KeyE: [0, 1, 0], KeyQ: [0, -1, 0],
};

export class Controls {
  constructor(stage, focus, up) {
    Object.assign(this, { stage, focus, up, mode: "orbit", distance: focus, speed: focus * 0.5 });
    this.pressed = new Set();
    this.pointers = new Map();
    this.velocity = new THREE.Vector3();
    this.onUse = () => {}; // the visitor took over
    this.onSpeed = () => {};
    const canvas = stage.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, (e) => this.pointers.delete(e.pointerId));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    window.addEventListener("keydown", (event) => this.key(event, true));
    window.addEventListener("keyup", (event) => this.key(event, false));
    window.addEventListener("blur", () => this.pressed.clear());
  }

  get active() {
    return this.pressed.size > 0 || this.velocity.lengthSq() > 0;
  }

  /** Forget motion and pivot distance, as after standing at the photo again. */
  reset() {
    this.distance = this.focus;
    this.velocity.set(0, 0, 0);
    this.pressed.clear();
  }

  key(event, isDown) {
    if (!KEYS[event.code] || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement && event.code.startsWith("Arrow")) return;
    if (isDown) {
      this.pressed.add(event.code);
      this.onUse();
      event.preventDefault();
    } else this.pressed.delete(event.code);
  }

  down(event) {
    this.stage.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, button: event.button });
    this.onUse();
  }

  move(event) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) return;
    const before = this.spread();
    const [dx, dy] = [event.clientX - pointer.x, event.clientY - pointer.y];
    Object.assign(pointer, { x: event.clientX, y: event.clientY });
    if (this.pointers.size >= 2) {
      const after = this.spread();
      if (before > 0 && after > 0) this.dolly(before / after);
      this.pan(dx / this.pointers.size, dy / this.pointers.size);
    } else if (pointer.button > 0 || event.shiftKey) this.pan(dx, dy);
    else if (this.mode === "orbit") this.turn(-dx * TURN, -dy * TURN, this.distance);
    else this.turn(-dx * TURN * 0.6, -dy * TURN * 0.6, 0);
    this.onUse();
  }

  /** Distance between the first two fingers in pixels, 0 with fewer. */
  spread() {
    const [a, b] = [...this.pointers.values()];
    return b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  }

  wheel(event) {
    event.preventDefault();
    const notches = Math.max(-3, Math.min(3, event.deltaY * [0.01, 0.33, 3][event.deltaMode]));
    if (this.mode === "fly") {
      this.speed = Math.min(Math.max(this.speed * 1.15 ** -notches, this.focus * 0.02), this.focus * 50);
      this.onSpeed(this.speed);
    } else {
      this.dolly(1.12 ** notches);
      this.onUse();
    }
  }

  /** Rotate about the point `radius` ahead; 0 turns the head on the spot. */
  turn(yaw, pitch, radius) {
    const { camera } = this.stage;
    const pivot = camera.position.clone().addScaledVector(camera.getWorldDirection(new THREE.Vector3()), radius);
    const elevation = Math.asin(THREE.MathUtils.clamp(camera.getWorldDirection(new THREE.Vector3()).dot(this.up), -1, 1));
    const limited = Math.min(Math.max(elevation + pitch, Math.min(-MAX_ELEVATION, elevation)), Math.max(MAX_ELEVATION, elevation));
    camera.quaternion.premultiply(new THREE.Quaternion().setFromAxisAngle(this.up, yaw));
    camera.quaternion.multiply(new THREE.Quaternion().setFromAxisAngle(new THREE.Vector3(1, 0, 0), limited - elevation));
    camera.quaternion.normalize();
    camera.position.copy(pivot).addScaledVector(camera.getWorldDirection(new THREE.Vector3()), -radius);
    this.stage.moved();
  }

  pan(dx, dy) {
    const { camera } = this.stage;
    const perPixel = this.distance / (camera.intrinsics.fy * camera.zoomFactor);
    camera.position.add(new THREE.Vector3(-dx * perPixel, dy * perPixel, 0).applyQuaternion(camera.quaternion));
    this.stage.moved();
  }

  /** Change the distance to the pivot; close to it, the pivot is pushed ahead so that one can always go on. */
  dolly(factor) {
    const { camera } = this.stage;
    const step = this.distance * (1 - factor);
    camera.position.addScaledVector(camera.getWorldDirection(new THREE.Vector3()), step);
    this.distance = Math.max(this.distance - step, this.focus * 0.15);
    this.stage.moved();
  }

  advance(seconds) {
    const wish = new THREE.Vector3();
    for (const code of this.pressed) wish.add(new THREE.Vector3(...KEYS[code]));
    if (wish.lengthSq()) wish.normalize().multiplyScalar(this.speed);
    this.velocity.lerp(wish, 1 - Math.exp(-seconds * 12));
    if (!wish.lengthSq() && this.velocity.length() < this.speed * 0.01) this.velocity.set(0, 0, 0);
    if (!this.velocity.lengthSq()) return;
    const { camera } = this.stage;
    camera.position.add(this.velocity.clone().multiplyScalar(seconds).applyQuaternion(camera.quaternion));
    this.stage.moved();
  }
}
