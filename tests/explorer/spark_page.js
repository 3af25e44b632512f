// Shows one scene file through Spark's own loader, with the renderer settings of the viewer page.
import { SplatMesh } from "@sparkjsdev/spark";
import * as THREE from "three";
import { Stage, flip } from "../../viewer/src/stage.js";

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function start() {
  const info = JSON.parse(document.getElementById("info").textContent);
  const frame = { position: new THREE.Vector3(), quaternion: new THREE.Quaternion(), intrinsics: info.intrinsics };
  flip(info.pose).decompose(frame.position, frame.quaternion, new THREE.Vector3());
  const stage = new Stage(document.getElementById("stage"), frame, 1000);
  // A y-up file needs no turn: three.js is y-up itself.
  if (info.up === "y-up") stage.root.quaternion.identity();
  const mesh = new SplatMesh({ fileBytes: bytes(info.file), fileName: info.name, extSplats: true });
  await mesh.initialized;
  stage.root.add(mesh);
  await stage.drawSorted();
  window.openlyra.count = mesh.numSplats;
  return true;
}

window.openlyra = { error: null };
window.openlyra.ready = start().catch((error) => {
  window.openlyra.error = String(error);
  return false;
});
