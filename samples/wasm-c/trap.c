/* Breaks: executes an instruction that must never be reached. */
int main(void) { __builtin_trap(); }
