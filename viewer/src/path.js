// The embedded camera path and its playback.
import * as THREE from "three";
import { flip } from "./stage.js";

/** {width, height, fps, frames: [{pose: 12 numbers row by row (RDF), k: [fx, fy, cx, cy]}]} -> frames in three.js axes. */
export function decodePath({ width, height, frames }) {
  return frames.map(({ pose, k }) => {
    const [position, quaternion, scale] = [new THREE.Vector3(), new THREE.Quaternion(), new THREE.Vector3()];
    flip([...pose, 0, 0, 0, 1]).decompose(position, quaternion, scale);
    const [fx, fy, cx, cy] = k;
    return { position, quaternion, intrinsics: { fx, fy, cx, cy, width, height } };
  });
}

const mix = (a, b, t) => a + (b - a) * t;

export class PathPlayer {
  constructor(frames, fps, stage) {
    Object.assign(this, { frames, fps, stage, time: 0, playing: false, onChange: () => {} });
  }

  get last() {
    return this.frames.length - 1;
  }

  /** Stand at a frame number; fractions lie between two frames. */
  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.last);
    const index = Math.min(Math.floor(this.time), Math.max(this.last - 1, 0));
    const a = this.frames[index];
    const b = this.frames[Math.min(index + 1, this.last)];
    const t = this.time - index;
    const intrinsics = { ...a.intrinsics };
    for (const key of ["fx", "fy", "cx", "cy"]) intrinsics[key] = mix(a.intrinsics[key], b.intrinsics[key], t);
    this.stage.setFrame({
      position: a.position.clone().lerp(b.position, t), quaternion: a.quaternion.clone().slerp(b.quaternion, t), intrinsics,
    });
    this.onChange();
  }

  toggle() {
    if (this.playing) return this.pause();
    if (this.last === 0) return;
    this.playing = true;
    this.seek(this.time >= this.last ? 0 : this.time);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.onChange();
  }

  advance(seconds) {
    if (!this.playing) return;
    this.seek(this.time + seconds * this.fps);
    if (this.time >= this.last) this.pause();
  }
}
