/** A command that runs as the foreground job of its own terminal. */
export interface TerminalSession {
  /** End of the command; code and signal are null when that could not be seen. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  readonly hasEnded: boolean
  readonly pid: number
  /** Output of the command so far. */
  readonly text: string
  press(key: string): void
  printed(pattern: RegExp): Promise<void>
  suspended(times?: number): Promise<void>
  foreground(): void
  hangUp(): void
  close(): void
}

export interface FoundProcess {
  readonly pid: number
  readonly command: string
  readonly environment: string
}

export function openTerminal(
  argv: readonly string[],
  options?: { readonly cwd?: string; readonly env?: Readonly<Record<string, string | undefined>> },
): TerminalSession

export function processesOf(mark: string): FoundProcess[]

export function signalAll(processes: readonly { readonly pid: number }[], signal: NodeJS.Signals): void
