import { EnvironmentError, FreetumorError } from './errors.js'

/** Reason and hint of each error code of the operating system. */
const SYSTEM_ERRORS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ['the disk is full', 'free space on that disk'],
  EDQUOT: ['the disk quota is exceeded', 'free space within your quota'],
  EFBIG: ['the file would exceed the size limit', 'raise the limit: `ulimit -f unlimited`'],
  EROFS: ['the file system is read-only', 'choose a folder on a writable disk'],
  EACCES: ['permission denied', 'correct its permissions, or choose another folder'],
  EPERM: ['permission denied', 'correct its permissions, or choose another folder'],
  EMFILE: ['this process has too many open files', 'raise the limit: `ulimit -n 4096`'],
  ENFILE: ['the machine has too many open files', 'close other programs, or raise fs.file-max'],
  EIO: ['the disk reports an input/output error', 'check the disk and its cables'],
  ESTALE: ['the network file system lost the file', 'mount the file system again'],
  ENOENT: [
    'a folder of its path is missing or refuses new files',
    'create the folder, or choose another path',
  ],
  ENOTDIR: ['a part of its path is a file', 'correct the path'],
  EISDIR: ['it is a folder', 'remove the folder, or choose another name'],
  ENOTEMPTY: ['the folder is not empty', 'end the process that uses the folder, or choose another one'],
  EEXIST: ['it exists', 'remove it, or choose another name'],
  ENAMETOOLONG: ['its name is too long', 'choose a shorter path'],
  ELOOP: ['its path has too many symbolic links', 'correct the links'],
  EAGAIN: ['the machine has no process left for it', 'raise the limit: `ulimit -u`'],
  ENOMEM: ['the machine has no memory left for it', 'close other programs'],
}

/**
 * Return the message of a path that cannot be read: `scan.nii: file not found`, or
 * `scan.nii: cannot be read (permission denied, EACCES)`.
 * @param code errno name, such as ENOENT
 * @param kind what was expected there
 */
export function cannotBeRead(path: string, code: string | undefined, kind = 'file'): string {
  return `${path}: ${readProblem(code, kind)}`
}

/** Return why a path cannot be read, as `cannotBeRead` does, without the path. Every such fault is worded here. */
export function readProblem(code: string | undefined, kind = 'file'): string {
  if (code === 'ENOENT' || code === 'ENOTDIR') return `${kind} not found`
  const reason = SYSTEM_ERRORS[code ?? '']?.[0]
  return `cannot be read (${[reason, code].filter(Boolean).join(', ')})`
}

/**
 * Return an error of the operating system as an EnvironmentError that names what failed and why; other errors unchanged.
 * @param path the file to write. Default: the path that the error names
 */
export function typedSystemError(error: unknown, path?: string): unknown {
  if (error instanceof FreetumorError || !(error instanceof Error)) return error
  const { code, path: named, syscall } = error as NodeJS.ErrnoException
  const known = code === undefined ? undefined : SYSTEM_ERRORS[code]
  if (code === undefined || known === undefined) return error
  const [reason, hint] = known
  const where = path ?? named
  const verb = path === undefined ? verbOf(syscall) : 'written'
  const what =
    where === undefined ? `${syscall ?? 'a call of the system'} failed` : `${where}: cannot be ${verb}`
  return new EnvironmentError(`${what} (${reason}, ${code})`, { hint, cause: error })
}

function verbOf(syscall = ''): string {
  if (syscall === 'open') return 'opened'
  return /^(read|scandir|stat|lstat|access|realpath|readlink)$/.test(syscall) ? 'read' : 'written'
}
