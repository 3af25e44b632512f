// Bundles src/ into the one script that every exported page carries. `node build.mjs --check` compares with the committed file.
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "../src/openlyra/explorer/static");
const bundled = ["three", "@sparkjsdev/spark", "fflate"];

function licences() {
  return bundled
    .map((name) => {
      const folder = join(here, "node_modules", name);
      const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      return `${name} ${version} (${license})\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}

async function bundle(notice) {
  const result = await build({
    entryPoints: [join(here, "src/main.js")],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    charset: "ascii",
    legalComments: "none",
    absWorkingDir: here,
    banner: { js: `/*!\nThird-party software in this script:\n\n${notice}*/` },
  });
  // The script is placed inside an HTML page, where these two sequences would end or confuse it.
  return result.outputFiles[0].text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
}

const notice = licences();
if (notice.includes("*/")) throw new Error("a licence text would end the comment that holds it");
const files = { "viewer.js": await bundle(notice), "LICENSES.txt": notice };
for (const [name, text] of Object.entries(files)) {
  const path = join(target, name);
  if (!process.argv.includes("--check")) {
    writeFileSync(path, text);
    console.log(`${name}: ${Buffer.byteLength(text)} bytes`);
  } else if (readFileSync(path, "utf8") !== text) {
    console.error(`${name} is not what the sources give; run: npm run build`);
    process.exitCode = 1;
  } else console.log(`${name}: up to date`);
}
