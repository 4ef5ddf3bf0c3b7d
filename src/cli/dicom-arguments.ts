import { readdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { foreignFormat } from '../curation/datasets/file-names.js'
import type { FreetumorError } from '../errors.js'
import { quoted } from '../plain-text.js'
import type { CliIo } from './output.js'

/** Files and folders that are looked at in a folder, and levels of folders without DICOM files. */
const MOST_FILES = 16
const MOST_FOLDERS = 4
const MOST_LEVELS = 8
/** Names of files that commands read or write. */
const OWN_FILES = /\.(nii|nii\.gz|hdr|json|jsonl|ya?ml|pt|pth|safetensors|html)$/i

interface NamedFault {
  readonly message: string
  readonly hint: string
}

/**
 * Return the fault of a path that holds DICOM files, if a command refused this path for another reason; else null. So every
 * command names `data convert`.
 */
export async function faultOfDicom({ message }: FreetumorError, cwd: string): Promise<NamedFault | null> {
  for (const { index } of message.matchAll(/: /g)) {
    if (/DICOM|\bseries\b/.test(message.slice(index))) continue
    const fault = await dicomFault(message.slice(0, index), cwd)
    if (fault !== null) return fault
  }
  return null
}

/** Warn of a path that holds DICOM files, for a command that takes any folder. */
export async function noteDicom(path: string, io: CliIo): Promise<void> {
  const fault = await dicomFault(path, io.cwd)
  if (fault === null) return
  io.note(`warning: ${fault.message}`)
  io.note(`hint: ${fault.hint}`)
}

async function dicomFault(path: string, cwd: string): Promise<NamedFault | null> {
  const whole = resolve(cwd, path)
  const isFolder = (await stat(whole).catch(() => null))?.isDirectory()
  if (isFolder === undefined || !(await holdsDicom(whole, isFolder, MOST_LEVELS))) return null
  const folder = isFolder ? path : dirname(path)
  return {
    message: `${path}: wrong format (found DICOM)`,
    hint: `convert the series to NIfTI: \`freetumor data convert ${quoted(folder)} --out scans\``,
  }
}

/** Return whether a file is DICOM, or a folder holds DICOM files and none that another command reads. */
async function holdsDicom(path: string, isFolder: boolean, levels: number): Promise<boolean> {
  if (!isFolder) return (await foreignFormat(path))?.reason === 'DICOM'
  const entries = (await readdir(path, { withFileTypes: true }).catch(() => []))
    .filter(({ name }) => !name.startsWith('.'))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const files = entries.filter((entry) => entry.isFile())
  if (files.some(({ name }) => OWN_FILES.test(name))) return false
  for (const { name } of files.slice(0, MOST_FILES))
    if (await holdsDicom(join(path, name), false, 0)) return true
  const below = entries.filter((entry) => entry.isDirectory()).slice(0, MOST_FOLDERS)
  if (below.length === 0 || levels === 0) return false
  for (const { name } of below) if (!(await holdsDicom(join(path, name), true, levels - 1))) return false
  return true
}
