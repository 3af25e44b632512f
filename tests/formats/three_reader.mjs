// node three_reader.mjs FOLDER_OF_THREE FILE: what three.js' own loaders make of a .glb or .spz file, as JSON.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, file] = process.argv.slice(2);
globalThis.self ??= globalThis;
const addon = (name) => import(pathToFileURL(`${folder}/examples/jsm/loaders/${name}.js`));
const data = readFileSync(file);
const buffer = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
let geometry;
if (file.endsWith(".glb")) {
  const { GLTFLoader } = await addon("GLTFLoader");
  const { GLTFGaussianSplatLoaderExtension } = await addon("GLTFGaussianSplatLoaderExtension");
  const loader = new GLTFLoader().register((parser) => new GLTFGaussianSplatLoaderExtension(parser));
  const { scene } = await loader.parseAsync(buffer, "");
  scene.traverse((object) => { geometry = object.splatGeometry ?? geometry; });
} else {
  const { SPZLoader } = await addon("SPZLoader");
  geometry = await new SPZLoader().parse(buffer);
}
const result = Object.fromEntries(
  Object.entries(geometry.attributes).map(([name, a]) => [name, { size: a.itemSize, values: Array.from(a.array) }]),
);
console.log(JSON.stringify(result));
