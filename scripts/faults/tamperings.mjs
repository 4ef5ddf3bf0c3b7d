// Tamperings with a signed synthetic data set, for scripts/faults/provenance.mjs and test/provenance/tamperings.test.ts.
// Each changes one thing in a folder. `where` matches the reason that `freetumor verify` must give.
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'

export const TAMPERINGS = [
  ...['imagesTr', 'labelsTr', 'changeTr', 'tumorsTr'].map((folder) => ({
    name: `one voxel in ${folder}`,
    where: /^voxels$/,
    apply: (set) => edit(pick(set, folder), (bytes) => add(bytes, bytes.length - 1 - 2 * set.random(50), 1)),
  })),
  field('descrip', 148, /^header: descrip$/, 'a'),
  field('aux_file', 228, /^header: aux_file$/, 'a'),
  field('intent_name', 328, /^header: intent_name$/, 'a'),
  field('db_name', 14, /^header: db_name$/, 'a'),
  field('cal_max', 126, /^header: cal_max$/),
  field('affine', 294, /^header: srow$/),
  field('spacing', 82, /^header: pixdim$/),
  field('rescale', 118, /^header: scl_/),
  field('units', 123, /^header: xyzt_units$/),
  field('orientation code', 254, /^header: sform_code$/),
  {
    name: 'mark removed',
    where: /^mark: removed/,
    apply: (set) => edit(pick(set), withoutExtension),
  },
  {
    name: 'mark edited',
    where: /^mark: another one/,
    apply: (set) =>
      edit(pick(set), (bytes) => {
        const at = bytes.indexOf('"variant":') + 10
        bytes[at] = bytes[at] === 57 ? 48 : bytes[at] + 1
        return bytes
      }),
  },
  { name: 'mark of another scan', where: /^mark: another one/, apply: swapMarks },
  {
    name: 'extension added',
    where: /^header: other extensions/,
    apply: (set) => edit(pick(set), withExtension),
  },
  {
    name: 'scan replaced by its host',
    where: /mark: removed; .*voxels/,
    apply: (set) => copyFileSync(set.host, pick(set)),
  },
  {
    name: 'scan replaced by another',
    where: /^file: replaced by imagesTr/,
    apply: (set) => {
      const [one, other] = two(set)
      copyFileSync(one, other)
    },
  },
  {
    name: 'two scans exchanged',
    where: /^file: replaced by imagesTr/,
    apply: (set) => {
      const [one, other] = two(set)
      renameSync(one, `${one}.aside`)
      renameSync(other, one)
      renameSync(`${one}.aside`, other)
    },
  },
  {
    name: 'real scan added',
    where: /^file: added, an unmarked/,
    apply: (set) => copyFileSync(set.host, join(set.folder, 'imagesTr', `added_${set.random(1000)}.nii.gz`)),
  },
  {
    name: 'copy added',
    where: /^file: added, a copy of/,
    apply: (set) => copyFileSync(pick(set), join(set.folder, 'imagesTr', `copy_${set.random(1000)}.nii.gz`)),
  },
  { name: 'scan removed', where: /^file: missing$/, apply: (set) => rmSync(pick(set)) },
  { name: 'label removed', where: /^file: missing$/, apply: (set) => rmSync(pick(set, 'labelsTr')) },
  {
    name: 'scan truncated',
    where: /^file: .*truncated/,
    apply: (set) => rewrite(pick(set), (bytes) => bytes.subarray(0, bytes.length - 9 - set.random(20))),
  },
  {
    name: 'bytes appended',
    where: /^file: other bytes follow/,
    apply: (set) => rewrite(pick(set), (bytes) => Buffer.concat([bytes, Buffer.alloc(8)])),
  },
  manifest('voxel hash', /manifest: files differs/, (text) => text.replace(/"voxels":"(.)/, flipped)),
  manifest('host', /manifest: files differs/, (text) => text.replace(/"host":"(.)/, flipped)),
  manifest('seed', /manifest: files differs/, (text) => text.replace(/"seed":(\d)/, flipped)),
  manifest('licence', /manifest: licence differs/, (text) =>
    text.replace(/("licence": \{"name":)(null|"[^"]*")/, '$1"CC0 1.0"'),
  ),
  manifest('source', /manifest: sources differs/, (text) =>
    text.replace(/("sources": \[\{"kind":")hosts/, '$1weights'),
  ),
  manifest('settings', /manifest: settings differs/, (text) => text.replace(/"settings": "(.)/, flipped)),
  manifest('version', /manifest: versions differs/, (text) => text.replace(/"freetumor":"(\d)/, flipped)),
  manifest('signature', /manifest: the signature is wrong/, (text) => text.replace(/"value":"(.)/, flipped)),
  manifest('signature removed', /not signed/, (text) => text.replace(/"signature": .*/, '"signature": null')),
  manifest('manifest truncated', /manifest/, (text) => text.slice(0, -30)),
  {
    name: 'manifest removed',
    where: /^no manifest/,
    apply: (set) => rmSync(join(set.folder, 'provenance.json')),
  },
  {
    name: 'entry removed',
    where: /manifest: files differs|file: added/,
    apply: (set) => rewriteText(set, (text) => text.replace(/\n {4}\{"path"[^\n]*,\n/, '\n')),
  },
  { name: 'signed by another key', where: /not trusted/, apply: (set) => set.signAsStranger() },
  { name: 'key revoked', where: /revoked/, apply: (set) => set.revokeKey() },
  ...['ledger.jsonl', 'dataset.json', 'synthesis.json'].map((name) => ({
    name: `${name} edited`,
    where: /^file: changed$/,
    apply: (set) => rewrite(join(set.folder, name), (bytes) => Buffer.concat([bytes, Buffer.from(' ')])),
  })),
]

/** Changes that keep a file authentic: voxels, header and mark are equal. */
export const ALLOWED = [
  {
    name: 'other compression',
    apply: (set) => rewrite(pick(set), (bytes) => gzipSync(gunzipSync(bytes), { level: 9 })),
  },
  { name: 'no compression', apply: (set) => rewrite(pick(set), (bytes) => gunzipSync(bytes)) },
]

/** Change one byte of a header field of a NIfTI-1 file. */
function field(name, offset, where, text) {
  return {
    name: `header field ${name}`,
    where,
    apply: (set) =>
      edit(pick(set), (bytes) => {
        if (text !== undefined) bytes[offset] = bytes[offset] === 120 ? 121 : 120
        else add(bytes, offset, 1 + set.random(3))
        return bytes
      }),
  }
}

function manifest(name, where, change) {
  return { name: `manifest: ${name}`, where, apply: (set) => rewriteText(set, change) }
}

function rewriteText({ folder }, change) {
  const path = join(folder, 'provenance.json')
  const before = readFileSync(path, 'utf8')
  const after = change(before)
  if (after === before) throw new Error('the manifest did not change')
  writeFileSync(path, after)
}

function flipped(match, last) {
  return `${match.slice(0, -1)}${last === '1' ? '2' : '1'}`
}

function swapMarks(set) {
  const [one, other] = two(set)
  const [a, b] = [one, other].map((path) => gunzipSync(readFileSync(path)))
  const mark = (bytes) => bytes.subarray(352, bytes.readFloatLE(108))
  const changed = Buffer.concat([a.subarray(0, 352), mark(b), a.subarray(a.readFloatLE(108))])
  changed.writeFloatLE(b.readFloatLE(108), 108)
  writeFileSync(one, gzipSync(changed))
}

function withoutExtension(bytes) {
  const voxels = bytes.subarray(bytes.readFloatLE(108))
  const header = Buffer.from(bytes.subarray(0, 352))
  header.fill(0, 348)
  header.writeFloatLE(352, 108)
  return Buffer.concat([header, voxels])
}

function withExtension(bytes) {
  const offset = bytes.readFloatLE(108)
  const extension = Buffer.alloc(32)
  extension.writeInt32LE(32, 0)
  extension.writeInt32LE(6, 4)
  extension.write('another comment', 8)
  const changed = Buffer.concat([bytes.subarray(0, offset), extension, bytes.subarray(offset)])
  changed.writeFloatLE(offset + 32, 108)
  return changed
}

function add(bytes, at, value) {
  bytes[at] = (bytes[at] + value) % 256
  return bytes
}

function pick({ folder, random }, within = 'imagesTr') {
  const names = readdirSync(join(folder, within)).sort()
  return join(folder, within, names[random(names.length)])
}

function two({ folder, random }) {
  const names = readdirSync(join(folder, 'imagesTr')).sort()
  const first = random(names.length)
  const second = (first + 1 + random(names.length - 1)) % names.length
  return [first, second].map((at) => join(folder, 'imagesTr', names[at]))
}

/** Change the decoded bytes of a compressed file. */
function edit(path, change) {
  rewrite(path, (bytes) => gzipSync(change(Buffer.from(gunzipSync(bytes)))))
}

function rewrite(path, change) {
  if (!existsSync(path)) throw new Error(`${path} is missing`)
  writeFileSync(path, change(readFileSync(path)))
}
