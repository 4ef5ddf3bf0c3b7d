/** A program in an environment of its own, such as TotalSegmentator. */
export interface ToolProgram {
  /** Name of its command. */
  readonly program: string
  /** Module of the command, for an environment without the command itself. */
  readonly module: string
  /** Name of its Python package, which states the version. */
  readonly distribution: string
}

export interface FoundTool {
  /** Start of its command line. */
  readonly argv: readonly string[]
  /** Null if neither its package nor `--version` states one. */
  readonly version: string | null
}

export interface ToolCall {
  readonly argv: readonly string[]
  /** Working directory. */
  readonly directory: string
  /** The tool and all its processes are killed after this time. */
  readonly limitSeconds: number
  /** File for its output, which is bounded. */
  readonly log: string
  readonly signal: AbortSignal | undefined
}

/** End of a tool. None of its processes is left. */
export interface ToolEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly timedOut: boolean
  readonly seconds: number
  /** Last lines of its output. */
  readonly tail: string
}

/** Runs foreign programs, never in a shell; src/runtime/tool.ts implements it. */
export interface ToolRunner {
  /**
   * Find a tool in the environment of a Python, or on PATH if none is named.
   * @throws EnvironmentError if it is not there, or if the environment is that of freetumor
   */
  find(tool: ToolProgram, python: string | null): Promise<FoundTool>
  /**
   * Return the absolute path of a program that is named by its path or found on PATH.
   * @throws EnvironmentError if there is none
   */
  findProgram(name: string): string
  /** @throws the reason of the signal if it aborts; the tool is killed before */
  run(call: ToolCall): Promise<ToolEnd>
}
