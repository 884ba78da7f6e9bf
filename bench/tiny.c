/* The cheapest program there is: static, does nothing. */
int main(void)
{
    return 0;
}
