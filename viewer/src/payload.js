// The scene as embedded in the page. The layout is written by src/openlyra/explorer/payload.py; keep the two in step.
import { ExtSplats, SplatFileType, SplatMesh, utils } from "@sparkjsdev/spark";

const CHUNK = 1 << 22; // base64 characters decoded at a time; a multiple of 4
const LOG_SCALE_STEPS = 64;
const LOG_SCALE_MIN = -20;

/** Bytes of one base64 script tag, as a stream. The tag is removed so that its text does not stay in memory. */
function tagStream(tag) {
  const text = tag.textContent.trim();
  tag.remove();
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      if (offset >= text.length) return controller.close();
      const binary = atob(text.slice(offset, offset + CHUNK));
      offset += CHUNK;
      const bytes = new Uint8Array(binary.length);
      for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
      controller.enqueue(bytes);
    },
  });
}

async function gunzip(stream) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old: it cannot unpack the scene. Any browser since 2023 can.");
  }
  return new Uint8Array(await new Response(stream.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/** Byte planes -> Spark's 32-byte records. */
function unpackPlanes(bytes, count) {
  let next = 0;
  const plane = () => bytes.subarray(next, (next += count));
  const triple = () => [plane(), plane(), plane()];
  const [x, y, z] = [triple(), triple(), triple()];
  const scales = [0, 1, 2].map(() => [plane(), plane()]);
  const q = [plane(), plane(), plane(), plane()];
  const [red, green, blue] = triple();
  const alpha = plane();
  if (next !== bytes.length) throw new Error("The scene in this page is damaged (its size is wrong).");
  const word = new Uint32Array(1);
  const float = new Float32Array(word.buffer);
  const coordinate = (planes, i) => {
    word[0] = (planes[0][i] << 24) | (planes[1][i] << 16) | (planes[2][i] << 8);
    return float[0];
  };
  const scale = (planes, i) => Math.exp(((planes[0][i] << 8) | planes[1][i]) / LOG_SCALE_STEPS + LOG_SCALE_MIN);
  const { maxSplats } = utils.getTextureSize(count);
  const arrays = [new Uint32Array(maxSplats * 4), new Uint32Array(maxSplats * 4)];
  const rotation = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    // "Smallest three": two bits name the largest component (w x y z), the others follow in 10 bits each.
    const packed = ((q[0][i] << 24) | (q[1][i] << 16) | (q[2][i] << 8) | q[3][i]) >>> 0;
    const largest = packed >>> 30;
    let shift = 20;
    let rest = 1;
    for (let c = 0; c < 4; c++) {
      if (c === largest) continue;
      const value = (((packed >>> shift) & 1023) / 511 - 1) * Math.SQRT1_2;
      rotation[c] = value;
      rest -= value * value;
      shift -= 10;
    }
    rotation[largest] = Math.sqrt(Math.max(0, rest));
    utils.encodeExtSplat(
      arrays, i, coordinate(x, i), coordinate(y, i), coordinate(z, i),
      scale(scales[0], i), scale(scales[1], i), scale(scales[2], i),
      rotation[1], rotation[2], rotation[3], rotation[0],
      alpha[i] / 255, red[i] / 255, green[i] / 255, blue[i] / 255,
    );
  }
  return new ExtSplats({ extArrays: arrays, numSplats: count });
}

/** The scene of this page as a mesh in its own axes (x right, y down, z forward). */
export async function loadScene(info, report) {
  report("Unpacking the scene…");
  const bytes = await gunzip(tagStream(document.getElementById("openlyra-scene")));
  report("Preparing the scene…");
  await new Promise((resolve) => setTimeout(resolve, 0)); // let the message appear
  if (info.encoding === "ply") {
    const mesh = new SplatMesh({ fileBytes: bytes, fileType: SplatFileType.PLY, extSplats: true, lod: false });
    await mesh.initialized;
    return mesh;
  }
  const mesh = new SplatMesh({ extSplats: unpackPlanes(bytes, info.count), lod: false });
  await mesh.initialized;
  return mesh;
}
