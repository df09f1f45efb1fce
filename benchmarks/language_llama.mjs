// llama.cpp as a side of `language_peers.py`: see language_sides.py. By node-llama-cpp, which brings it compiled.
//
//     node language_llama.mjs FOLDER FILE THREADS     (FOLDER has node_modules)

import {readFileSync} from "node:fs";
import path from "node:path";
import {createInterface} from "node:readline";
import {pathToFileURL} from "node:url";

const [folder, file, threads] = process.argv.slice(2);
const installed = path.resolve(folder, "node_modules", "node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(path.join(installed, "dist", "index.js")).href);
const version = JSON.parse(readFileSync(path.join(installed, "package.json"), "utf8")).version;
const llama = await getLlama({gpu: false, build: "never", maxThreads: +threads, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: file});
const context = await model.createContext({contextSize: 512, batchSize: 512, threads: +threads});
const sequence = context.getSequence();
const answer = (value) => process.stdout.write(JSON.stringify(value) + "\n");

const now = () => [performance.now() / 1e3, process.cpuUsage()].map((at) => typeof at === "number" ? at : (at.user + at.system) / 1e6);
const peakKib = () => +/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1];

answer({package: `node-llama-cpp ${version}, llama.cpp ${llama.llamaCppRelease.release}`, told: llama.systemInfo});
for await (const line of createInterface({input: process.stdin})) {
    const [tokens, count] = JSON.parse(line);
    const times = [], said = [];
    await sequence.clearHistory();
    let before = now();
    for await (const token of sequence.evaluate(tokens, {temperature: 0})) {
        const at = now();
        times.push(at.map((value, which) => value - before[which]));
        said.push(token);
        if (said.length === count) break;
        before = now();
    }
    answer({times, said, peak_kib: peakKib()});
}
process.exit(0);
