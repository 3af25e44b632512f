// Renderer, the one root turn from scene axes to three.js axes, and a camera with the photo's framing.
import { SparkRenderer } from "@sparkjsdev/spark";
import * as THREE from "three";
import { surroundingsMesh } from "./surroundings.js";

const NEAR = 0.01;
const FAR = 1e5;
const MIN_PHOTO_WIDTH = 0.6; // share of the photo's width that stays visible in narrow windows

/** Axes RDF (x right, y down, z forward) <-> three.js (x right, y up, z back): the same half turn about x both ways. */
export function flip(rowMajor16) {
  const sign = [1, -1, -1, 1];
  const m = new THREE.Matrix4().set(...rowMajor16);
  for (let column = 0; column < 4; column++) {
    for (let row = 0; row < 4; row++) m.elements[column * 4 + row] *= sign[row] * sign[column];
  }
  return m;
}

/** Pinhole intrinsics -> projection. The photo's full height is shown; narrow windows see at least 60 % of its width. */
class PhotoCamera extends THREE.PerspectiveCamera {
  constructor(intrinsics) {
    super(50, 1, NEAR, FAR);
    this.intrinsics = intrinsics;
    this.viewport = [1, 1];
  }

  /** Window pixels per photo pixel. */
  get zoomFactor() {
    const { width, height } = this.intrinsics;
    const [w, h] = this.viewport;
    return Math.min(h / height, w / (MIN_PHOTO_WIDTH * width));
  }

  updateProjectionMatrix() {
    if (!this.intrinsics) return super.updateProjectionMatrix();
    const { fx, fy, cx, cy, width, height } = this.intrinsics;
    const [w, h] = this.viewport;
    const scale = this.zoomFactor;
    const principalX = w / 2 + (cx - width / 2) * scale;
    const principalY = h / 2 + (cy - height / 2) * scale;
    this.fov = THREE.MathUtils.radToDeg(2 * Math.atan(h / (2 * fy * scale)));
    this.aspect = w / h;
    this.projectionMatrix.makePerspective(
      (-principalX / (fx * scale)) * NEAR, ((w - principalX) / (fx * scale)) * NEAR,
      (principalY / (fy * scale)) * NEAR, (-(h - principalY) / (fy * scale)) * NEAR,
      NEAR, FAR,
    );
    this.projectionMatrixInverse.copy(this.projectionMatrix).invert();
  }
}

export class Stage {
  constructor(container, firstFrame, count, surroundings) {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2", { antialias: false, alpha: false, powerPreference: "high-performance" });
    if (!context) throw new Error("This viewer needs WebGL 2, which this browser does not offer (or has switched off).");
    this.renderer = new THREE.WebGLRenderer({ canvas, context, antialias: false });
    this.renderer.setClearColor(0x0b0d10, 1);
    container.append(canvas);
    this.canvas = canvas;
    this.scene = new THREE.Scene();
    this.root = new THREE.Group();
    this.root.quaternion.set(1, 0, 0, 0);
    this.scene.add(this.root);
    this.camera = new PhotoCamera(firstFrame.intrinsics);
    this.dirty = true;
    // The same footprint as OpenLyra's own renderer: 0.3 square pixels of blur without changing the opacity.
    this.spark = new SparkRenderer({
      renderer: this.renderer, preBlurAmount: 0.3, blurAmount: 0, maxStdDev: 3, maxPixelRadius: 2048,
      accumExtSplats: count <= 3e6, enableLod: false, onDirty: () => { this.dirty = true; },
    });
    this.scene.add(this.spark);
    this.surroundings = surroundings ? surroundingsMesh(surroundings) : null;
    if (this.surroundings) {
      this.surroundings.quaternion.copy(firstFrame.quaternion).multiply(this.root.quaternion);
      this.scene.add(this.surroundings);
    }
    this.setFrame(firstFrame);
    this.resize();
    new ResizeObserver(() => this.resize()).observe(container);
  }

  resize() {
    const { clientWidth: w, clientHeight: h } = this.canvas.parentElement;
    if (!w || !h) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    this.renderer.setSize(w, h);
    this.camera.viewport = [w, h];
    this.camera.updateProjectionMatrix();
    this.dirty = true;
  }

  /** Stand where a frame {position, quaternion (three.js axes), intrinsics} was taken. */
  setFrame({ position, quaternion, intrinsics }) {
    this.camera.position.copy(position);
    this.camera.quaternion.copy(quaternion);
    this.camera.intrinsics = intrinsics;
    this.camera.updateProjectionMatrix();
    this.moved();
  }

  moved() {
    this.camera.updateMatrixWorld(true);
    this.dirty = true;
  }

  /** Show the soft colours beyond the scene, or darkness. */
  toggleSurroundings() {
    if (!this.surroundings) return;
    this.surroundings.visible = !this.surroundings.visible;
    this.dirty = true;
  }

  draw() {
    this.dirty = false;
    this.renderer.render(this.scene, this.camera);
  }

  /** Draw with the Gaussians sorted for exactly this view; resolves when the picture is complete. */
  async drawSorted() {
    const idle = async () => {
      while (this.spark.sorting || this.spark.sortDirty) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    await idle();
    this.scene.updateMatrixWorld(true);
    await this.spark.update({ scene: this.scene, camera: this.camera });
    await idle();
    this.draw();
  }
}
