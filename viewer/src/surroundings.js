// Soft colours by direction behind everything, where the scene has nothing (written by explorer/surroundings.py).
import * as THREE from "three";

/** A sphere around the camera that looks, in the axes of the path's first frame (x right, y down, z forward). */
export function surroundingsMesh({ rows, columns, colors }) {
  const bytes = atob(colors);
  const [positions, shades, faces] = [[], [], []];
  const color = new THREE.Color();
  for (let i = 0; i < rows; i++) {
    const elevation = Math.PI * (0.5 - i / (rows - 1));
    for (let j = 0; j <= columns; j++) {
      const azimuth = 2 * Math.PI * (j / columns - 0.5);
      const level = Math.cos(elevation);
      positions.push(level * Math.sin(azimuth), -Math.sin(elevation), level * Math.cos(azimuth));
      const at = 3 * (i * columns + (j % columns));
      const [r, g, b] = [0, 1, 2].map((c) => bytes.charCodeAt(at + c) / 255);
      shades.push(...color.setRGB(r, g, b, THREE.SRGBColorSpace).toArray());
      if (i === rows - 1 || j === columns) continue;
      const [here, below] = [i * (columns + 1) + j, (i + 1) * (columns + 1) + j];
      faces.push(here, below, here + 1, here + 1, below, below + 1);
    }
  }
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.Float32BufferAttribute(positions, 3));
  geometry.setAttribute("color", new THREE.Float32BufferAttribute(shades, 3));
  geometry.setIndex(faces);
  const material = new THREE.MeshBasicMaterial({
    vertexColors: true, side: THREE.DoubleSide, depthTest: false, depthWrite: false, dithering: true,
  });
  const mesh = new THREE.Mesh(geometry, material);
  mesh.frustumCulled = false;
  mesh.renderOrder = -1;
  mesh.onBeforeRender = (renderer, scene, camera) => mesh.matrixWorld.copyPosition(camera.matrixWorld);
  return mesh;
}
